//! START-1, START-2: keys as text, and in the environment.

use serde_json::json;
use session_core::{KeyError, KeyRing, SigningKey};
use tracing::Level;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::cookie::carried::ring;
use crate::scenarios::support::logged::logged;
use crate::scenarios::support::sessions::{sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("START-1", "a key as tools pass it on signs as the key itself", what_tools_add),
    scenario!("START-1", "what is no key is refused by its place and not shown", refused_by_place),
    scenario!("START-2", "an unset variable is one random key, and one warning", unset),
    scenario!("START-2", "a variable that holds no key is an error that names it", set_to_no_key),
];

/// `[1; 32]` in base64.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

async fn what_tools_add(world: World) {
    let plain = world.with_keys(ring(1, &[])).await;
    let browser = sign_in(&plain, "ada").await;
    let (first, second) = KEY.split_at(30);
    let one = format!("{first}\n{second}\n");
    for text in [
        one.clone(),
        one.replace('\n', "\r\n"),
        format!("{first} {second}"),
        format!("\"{KEY}\""),
        format!("'{KEY}'"),
        format!("base64:{KEY}"),
        format!("\u{feff}{KEY}"),
        format!("\u{200b}{KEY}\u{200b}\n"),
        format!("\u{feff}\"base64:{first}\r\n{second}\""),
        KEY.trim_end_matches('=').to_owned(),
    ] {
        let key = SigningKey::from_base64(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let node = world.with_keys(KeyRing::new(key)).await;
        assert_eq!(user(&mut browser.on(&node)).await, json!("ada"), "{text:?}");
    }
}

async fn refused_by_place(_: World) {
    for (text, says) in [
        (KEY.replacen('B', "!", 1), "character 4"),
        (format!("\"{}\"", KEY.replacen('B', "!", 1)), "character 5"),
        (format!("{KEY}{KEY}"), "character 44"),
        (format!("\"{KEY}"), "character 1 "),
        ("$(openssl rand -base64 32)".to_owned(), "character 1 "),
        ("abcdefghijklmnopqrstuvwxyz012345".to_owned(), "32 characters are read as base64, so they make 24 bytes"),
        (String::new(), "empty"),
        ("A".repeat(43), "zeros"),
        ("x".repeat(64), "over and over"),
        ("/run/secrets/session_key".to_owned(), "path of a file"),
        ("a text of 64 characters that are words and could be read as base64".to_owned(), "words"),
        ("0123456789abcdef".repeat(3), "hexadecimal"),
        (format!("SESSION_KEY={KEY}"), "character 12 "),
        (format!("{KEY},{KEY}"), "`verify_with`"),
    ] {
        let error = SigningKey::from_base64(&text).expect_err(&text);
        for message in [error.to_string(), format!("{error:?}")] {
            assert!(message.contains(says) && message.contains("openssl rand -base64 32"), "{text:?}: {message}");
            assert!(!message.contains("AQEB") && !message.contains("abcd") && !message.contains("AAA"), "{message}");
        }
    }
}

async fn unset(world: World) {
    let variable = format!("UNSET_KEY_{}", std::process::id());
    let mut keys = Vec::new();
    let mut warnings = logged(|| keys.extend((0..3).map(|_| SigningKey::from_env(&variable).expect("a random key"))));
    // Other trials of this process may have asked first.
    warnings.retain(|(level, text)| *level == Level::WARN && text.contains(&variable));
    assert!(warnings.len() <= 1, "{warnings:?}");
    assert!(warnings.iter().all(|(_, text)| text.contains("sessions end with this process")), "{warnings:?}");
    let mut nodes = Vec::new();
    for key in keys {
        nodes.push(world.with_keys(KeyRing::new(key)).await);
    }
    let browser = sign_in(&nodes[0], "ada").await;
    assert_eq!(user(&mut browser.on(&nodes[1])).await, json!("ada"), "all of the process have the same key");
    assert_eq!(user(&mut browser.on(&world)).await, json!(null), "it is no known one");
}

async fn set_to_no_key(_: World) {
    // The one variable that is set wherever tests run.
    let error = SigningKey::from_env("PATH").expect_err("no key");
    assert!(matches!(error, KeyError::Variable { .. }));
    let path = std::env::var("PATH").expect("text");
    for message in [error.to_string(), format!("{error:?}")] {
        assert!(message.contains("`PATH`") && !message.contains(&path), "{message}");
    }
    let error = SigningKey::from_env(KEY).expect_err("no name").to_string();
    assert!(error.contains("`SESSION_KEY`") && !error.contains("AQEB"), "{error}");
}
