//! Where the source files may lean on each other, read off their `use` lines: in the core only on
//! the same floor or a lower one, and nowhere in a circle. Tests are left out, and so is what a
//! file leans on its own folder's `mod.rs` for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors of the core, from the ground up.
const FLOORS: [&[&str]; 9] = [
    &["model", "clock", "setting"],
    &["error", "client"],
    &["keys", "observe"],
    &["transport", "store"],
    &["values", "policy"],
    &["config", "visitor"],
    &["service"],
    &["request", "testing"],
    &["adapter"],
];

/// A module's path inside its crate.
type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn the_cores_modules_lean_on_their_own_floor_or_lower_ones() {
    let floor_of = |module: &Module| {
        let room = module.first()?;
        let floor = FLOORS.iter().position(|rooms| rooms.contains(&room.as_str()));
        Some(floor.unwrap_or_else(|| panic!("`{room}` has no floor: give it one here")))
    };
    let mut wrong = Vec::new();
    for (module, leans_on) in graph(&root().join("session-core/src")) {
        for other in leans_on {
            let (Some(own), Some(its)) = (floor_of(&module), floor_of(&other)) else { continue };
            if its > own {
                wrong.push(format!("{} leans on {}, which is on a higher floor", module.join("::"), other.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_files_lean_on_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    for source in sources() {
        let graph = graph(&source);
        for module in graph.keys().filter(|module| !module.is_empty()) {
            if reaches(&graph, module, module) {
                wrong.push(format!("{}: {}", source.display(), module.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "in a circle: {wrong:#?}");
}

#[test]
fn a_circle_and_a_high_floor_are_seen() {
    let modules = [vec!["a".to_owned()], vec!["b".to_owned()], vec!["b".to_owned(), "c".to_owned()]];
    let names = |text: &str, at: usize| leans_on(text, &modules[at], &modules.iter().cloned().collect());
    assert_eq!(names("use crate::{a::X, b::{c::{Y, Z}}};", 1), [modules[0].clone(), modules[2].clone()].into());
    assert_eq!(names("use super::super::a;\nuse std::fmt;", 2), [modules[0].clone()].into());
    assert_eq!(names("use super::X;", 2), [].into(), "its own folder");
    assert_eq!(
        names("use crate::b::X;\n#[cfg(test)]\nmod tests { use crate::b::c::Y; }", 0),
        [modules[1].clone()].into()
    );
    let graph: Graph =
        [(modules[0].clone(), [modules[1].clone()].into()), (modules[1].clone(), [modules[0].clone()].into())].into();
    assert!(reaches(&graph, &modules[0], &modules[0]));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// The `src` folders of all crates, those of the peers too.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !entry.is_dir() || name.starts_with('.') || name == "target" {
                continue;
            }
            if name == "src" { found.push(entry) } else { folders.push(entry) }
        }
    }
    assert!(found.len() >= 10, "all crates: {found:?}");
    found
}

/// Which modules each module of a crate leans on.
fn graph(source: &Path) -> Graph {
    let mut files = BTreeMap::new();
    let mut folders = vec![(source.to_owned(), Module::new())];
    while let Some((folder, module)) = folders.pop() {
        for path in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let inner = [module.clone(), vec![name.clone()]].concat();
            if name == "tests" || (name == "testing" && !module.is_empty()) {
            } else if path.is_dir() {
                folders.push((path, inner));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let is_folder = ["mod", "lib", "main"].contains(&name.as_str());
                files.insert(if is_folder { module.clone() } else { inner }, path);
            }
        }
    }
    let modules = files.keys().cloned().collect();
    let read = |path: &PathBuf| fs::read_to_string(path).expect("a source file");
    files.iter().map(|(module, path)| (module.clone(), leans_on(&read(path), module, &modules))).collect()
}

/// The modules that the `use` lines of a text name, as far as the first test; not the folder that
/// the module is in.
fn leans_on(text: &str, module: &Module, modules: &BTreeSet<Module>) -> BTreeSet<Module> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let is_whole = rest[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '`');
        rest = &rest[at + 4..];
        let Some(end) = rest.find(';').filter(|_| is_whole) else { continue };
        let mut paths = Vec::new();
        expand(&[], &rest[..end], &mut paths);
        for path in paths {
            let mut base = module.clone();
            let mut names = path.iter().map(String::as_str).peekable();
            match names.peek() {
                Some(&"crate") => {
                    base.clear();
                    names.next();
                }
                Some(&"self") => drop(names.next()),
                Some(&"super") => {
                    while names.next_if_eq(&"super").is_some() {
                        base.pop();
                    }
                }
                // A module of its own, or another crate.
                Some(_) | None => {}
            }
            let own = base.len();
            base.extend(names.map(str::to_owned));
            let inside = (0..=base.len()).rev().map(|length| &base[..length]).find(|path| modules.contains(*path));
            let Some(inside) = inside else { continue };
            let is_named = inside.len() > own || path.first().is_some_and(|first| first == "crate" || first == "super");
            if is_named && inside != module.as_slice() && !module.starts_with(inside) {
                found.insert(inside.to_vec());
            }
        }
    }
    found
}

/// The single paths of what stands after `use`.
fn expand(before: &[String], text: &str, paths: &mut Vec<Vec<String>>) {
    let text = text.trim();
    let (names, inner) = match text.split_once('{') {
        Some((names, inner)) => (names, Some(inner.rsplit_once('}').map_or(inner, |(inner, _)| inner))),
        None => (text.split(" as ").next().unwrap_or_default(), None),
    };
    let mut path = before.to_vec();
    path.extend(names.split("::").map(str::trim).filter(|name| !name.is_empty() && *name != "*").map(str::to_owned));
    let Some(inner) = inner else { return paths.push(path) };
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&path, &inner[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&path, &inner[start..], paths);
    }
}

/// Whether one leads to the other, by one step or more.
fn reaches(graph: &Graph, from: &Module, to: &Module) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(module) = open.pop() {
        for next in graph.get(module).into_iter().flatten() {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    false
}
