//! A signing key from an environment variable, and a random one where it isn't set.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use super::{MIN_KEY_BYTES, SigningKey};
use crate::error::KeyError;

/// The random keys of this process by variable, so that all who ask have the same.
static RANDOM: Mutex<BTreeMap<String, SigningKey>> = Mutex::new(BTreeMap::new());

/// The key of a variable that has this value, or isn't set.
pub(super) fn of_variable(variable: &str, value: Option<OsString>) -> Result<SigningKey, KeyError> {
    if !is_name(variable) {
        return Err(KeyError::VariableName);
    }
    let Some(value) = value else { return random(variable) };
    let unusable = |source| KeyError::Variable { variable: variable.to_owned(), source: Box::new(source) };
    let text = value.into_string().map(Zeroizing::new).map_err(|_| unusable(KeyError::NotText))?;
    SigningKey::from_base64(&text).map_err(unusable)
}

/// Characters of the shortest key in base64 without padding.
const KEY_CHARS: usize = 43;

/// Whether it can be the name of a variable. Names are logged, and a key that was passed in place
/// of one must not be.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let may_be_a_key = text.len() >= KEY_CHARS && text.bytes().any(|byte| byte.is_ascii_lowercase());
    !text.is_empty() && !may_be_a_key && text.bytes().all(is_part)
}

fn random(variable: &str) -> Result<SigningKey, KeyError> {
    let mut keys = RANDOM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = keys.get(variable) {
        return Ok(key.clone());
    }
    let mut bytes = Zeroizing::new([0; MIN_KEY_BYTES]);
    SysRng.try_fill_bytes(&mut *bytes).map_err(|_| KeyError::NoRandomness)?;
    let key = SigningKey::from_bytes(&*bytes)?;
    keys.insert(variable.to_owned(), key.clone());
    tracing::warn!(
        "`{variable}` is not set, so cookies are signed with a random key: all sessions end with this process, and no other \
         node knows them. To keep them, set it to the output of `openssl rand -base64 32`, to the same on every node"
    );
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::logged;

    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn a_variable_that_is_set_is_the_key() {
        let mut key = None;
        let log = logged(|| key = of_variable("SESSION_KEY", Some(KEY.into())).ok());
        assert!(key.unwrap().is_same(&SigningKey::from_bytes(&[1; 32]).unwrap()));
        assert_eq!(log, "");
    }

    #[test]
    fn without_the_variable_there_is_one_random_key_and_one_warning() {
        let mut keys = Vec::new();
        let mut random = |variable| logged(|| keys.push(of_variable(variable, None).unwrap()));
        let log = random("UNSET_KEY");
        assert_eq!(log.lines().count(), 1, "{log}");
        for part in ["WARN", "`UNSET_KEY`", "end with this process", "openssl rand -base64 32", "on every node"] {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert_eq!(random("UNSET_KEY"), "", "said once");
        assert!(random("OTHER_UNSET_KEY").contains("`OTHER_UNSET_KEY`"));
        assert!(keys[0].is_same(&keys[1]), "all workers of the process have the same");
        assert!(!keys[0].is_same(&keys[2]));
        assert!(SigningKey::from_env("NOT_SET_ANYWHERE_EITHER").is_ok());
    }

    #[test]
    fn a_variable_that_is_set_to_no_key_is_an_error_that_names_it() {
        for (value, says) in [
            ("", "is empty"),
            (" ", "is empty"),
            ("hunter2!", "character 8"),
            ("hunter", "6 characters"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "zeros"),
        ] {
            let mut error = None;
            let log = logged(|| error = of_variable("SESSION_KEY", Some(value.into())).err());
            let error = error.expect(value);
            assert_eq!(log, "", "no random key in its place");
            for message in [error.to_string(), format!("{error:?}")] {
                assert!(message.contains("`SESSION_KEY`") && message.contains(says), "{value:?}: {message}");
                assert!(message.contains("openssl rand -base64 32") && !message.contains("hunter"), "{message}");
            }
        }
        // As it really is in the environment.
        let error = SigningKey::from_env("PATH").unwrap_err().to_string();
        assert!(error.contains("`PATH`") && !error.contains("/bin"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_an_error_that_names_it() {
        let value = std::os::unix::ffi::OsStringExt::from_vec(vec![b'k', 0xff]);
        let error = of_variable("SESSION_KEY", Some(value)).unwrap_err().to_string();
        assert!(error.contains("`SESSION_KEY`") && error.contains("not text"), "{error}");
    }

    #[test]
    fn a_key_in_place_of_the_name_is_neither_used_nor_shown() {
        let unpadded = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3Jl";
        for name in [KEY, unpadded, "", "A B", "A=B", "SESSION_KEY\0"] {
            let mut error = None;
            let log = logged(|| error = SigningKey::from_env(name).err());
            assert_eq!((error, log.as_str()), (Some(KeyError::VariableName), ""), "{name:?}");
        }
        assert!(is_name("THE_KEY_THAT_SIGNS_THE_SESSIONS_OF_ALL_OUR_APPS"));
    }
}
