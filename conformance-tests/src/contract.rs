//! The clauses of the contract, read from its text.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// The whole text of the contract.
pub const TEXT: &str = include_str!("../CONTRACT.md");

/// Every clause of the contract, in its order.
pub static CLAUSES: LazyLock<Vec<Clause>> = LazyLock::new(|| parse(TEXT));

/// One clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Its id, such as `COOK-7`.
    pub id: String,
    /// What it promises, on one line.
    pub text: String,
    /// Why it is so, on one line.
    pub why: String,
}

/// A failure, followed by the text of each of these clauses.
pub fn report(failure: &str, clauses: &[&str]) -> String {
    let mut report = failure.to_owned();
    for id in clauses {
        let text = CLAUSES.iter().find(|clause| clause.id == *id).map_or("(no such clause)", |clause| &clause.text);
        write!(report, "\n\n{id}. {text}").expect("a string takes every text");
    }
    report
}

/// The clauses of a text: the paragraphs that begin with an id in bold, such as `**COOK-7.**`, each
/// with the paragraph `*Why:*` that follows.
fn parse(text: &str) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = Vec::new();
    for paragraph in text.split("\n\n").map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" ")) {
        if let Some((id, text)) = paragraph.strip_prefix("**").and_then(|rest| rest.split_once(".** "))
            && is_id(id)
        {
            clauses.push(Clause { id: id.to_owned(), text: text.to_owned(), why: String::new() });
        } else if let (Some(why), Some(clause)) = (paragraph.strip_prefix("*Why:* "), clauses.last_mut()) {
            clause.why.push_str(why);
        }
    }
    clauses
}

/// Whether it is a group and a number, such as `COOK-7`.
fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(group, number)| {
        !group.is_empty()
            && group.bytes().all(|byte| byte.is_ascii_uppercase())
            && number.parse::<u32>().is_ok_and(|parsed| parsed > 0 && parsed.to_string() == number)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{CLAUSES, TEXT, parse, report};

    #[test]
    fn clauses_are_read_from_the_text() {
        let text =
            "# Title\n\nWords.\n\n**AB-1.** One\nclause.\n\n*Why:* So.\n\n**Bold.** No clause.\n\n**AB-12.** More.\n";
        let read: Vec<_> = parse(text).into_iter().map(|clause| (clause.id, clause.text, clause.why)).collect();
        let clause = |id: &str, text: &str, why: &str| (id.to_owned(), text.to_owned(), why.to_owned());
        assert_eq!(read, [clause("AB-1", "One clause.", "So."), clause("AB-12", "More.", "")]);
    }

    #[test]
    fn every_clause_has_an_id_of_its_own_a_text_and_a_reason() {
        let mut ids = BTreeSet::new();
        for clause in &*CLAUSES {
            assert!(ids.insert(&clause.id), "{} is there twice", clause.id);
            assert!(clause.text.ends_with('.'), "{}: {}", clause.id, clause.text);
            assert!(clause.why.ends_with('.'), "{}: {}", clause.id, clause.why);
        }
    }

    #[test]
    fn no_clause_is_lost_to_its_form() {
        let bold = TEXT.lines().filter(|line| line.trim_start().trim_matches('#').trim_start().starts_with("**"));
        let bold: Vec<_> = bold.collect();
        assert_eq!(bold.len(), CLAUSES.len(), "{bold:#?}");
        assert_eq!(TEXT.matches("*Why:*").count(), CLAUSES.len() + 1, "one a clause, and the one that says so");
    }

    #[test]
    fn a_report_says_what_the_clauses_promise() {
        let clause = CLAUSES.iter().find(|clause| clause.id == "COOK-7").expect("a clause");
        let said = report("src/a.rs:1:2: it failed", &["COOK-7", "NONE-1"]);
        assert_eq!(said, format!("src/a.rs:1:2: it failed\n\nCOOK-7. {}\n\nNONE-1. (no such clause)", clause.text));
    }
}
