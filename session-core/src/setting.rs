//! Settings as configuration files and the environment give them: numbers and booleans as text,
//! lists as text with commas, `null` for what is left out. Each is read, or refused by its name and
//! with an example. Not here: which settings there are, see `config`, `visitor` and `policy`.

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error};
use serde_json::Value;

/// The value of one setting, which `read` makes of what is given. None for `null`.
pub(crate) struct Setting<F> {
    pub(crate) name: &'static str,
    pub(crate) read: F,
}

impl<'de, T, F: FnOnce(Value) -> Result<T, String>> DeserializeSeed<'de> for Setting<F> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        let named = |error: &dyn Display| D::Error::custom(format_args!("`{}`: {error}", self.name));
        match Option::<Value>::deserialize(deserializer).map_err(|error| named(&error))? {
            None => Ok(None),
            // What is written as a number and is none, such as TOML's `inf`.
            Some(Value::Null) => Err(named(&"no number is infinite here, or none: leave it out for the default")),
            Some(given) => (self.read)(tidy(given)).map(Some).map_err(|reason| named(&reason)),
        }
    }
}

/// Text without blanks and one pair of quotes around it, which `docker --env-file` keeps.
fn tidy(given: Value) -> Value {
    let Value::String(text) = &given else { return given };
    let text = text.trim();
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text).trim().into()
}

/// Implements `Deserialize` for a struct of settings: each field is read by a function of what is
/// given, and one that is left out, or `null`, has its default.
macro_rules! settings {
    ($type:ty { $($field:ident: $read:expr),+ $(,)? }) => {
        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const NAMES: &[&str] = &[$(stringify!($field)),+];

                struct Fields;

                impl<'de> ::serde::de::Visitor<'de> for Fields {
                    type Value = $type;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str("a table of settings")
                    }

                    fn visit_map<A: ::serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        let mut settings = <$type>::default();
                        let mut seen = Vec::new();
                        while let Some(name) = map.next_key::<String>()? {
                            let name = $crate::setting::known::<A::Error>(&name, NAMES, &mut seen)?;
                            $(if name == stringify!($field) {
                                let setting = $crate::setting::Setting { name, read: $read };
                                if let Some(value) = map.next_value_seed(setting)? {
                                    settings.$field = value;
                                }
                                continue;
                            })+
                        }
                        Ok(settings)
                    }
                }

                deserializer.deserialize_struct(stringify!($type), NAMES, Fields)
            }
        }
    };
}
pub(crate) use settings;

/// The setting of this name, which must be there once.
pub(crate) fn known<E: Error>(
    name: &str,
    names: &'static [&'static str],
    seen: &mut Vec<&'static str>,
) -> Result<&'static str, E> {
    let Some(known) = names.iter().copied().find(|known| *known == name) else {
        let given = plain(name);
        if given.contains("key") || given.contains("secret") {
            return Err(E::custom(format_args!(
                "`{name}` is no setting: keys are passed to `build`, so leave it out of what settings are read from"
            )));
        }
        if given.ends_with("httponly") {
            return Err(E::custom(format_args!("`{name}` is no setting, and can't be switched off: leave it out")));
        }
        return Err(match meant(&given, names) {
            Some(meant) => E::custom(format_args!("`{name}` is no setting: write it `{meant}`")),
            None => E::unknown_field(name, names),
        });
    };
    if seen.contains(&known) {
        return Err(E::duplicate_field(known));
    }
    seen.push(known);
    Ok(known)
}

/// A name as the spellings of all languages and systems have it.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// The one setting that is spelt otherwise, such as `idleTimeout`, or without its beginning.
fn meant(given: &str, names: &[&'static str]) -> Option<&'static str> {
    let mut like = names.iter().copied().filter(|name| given.len() > 3 && plain(name).ends_with(given));
    like.next().filter(|_| like.next().is_none())
}

/// A duration as text, such as `30 days` or `5m`.
pub(crate) fn duration(given: Value) -> Result<Duration, String> {
    const EXAMPLE: &str = "write it like \"30 days\" or \"5m\"";
    match given {
        Value::String(text) if text.split(|c: char| !c.is_alphabetic()).any(|unit| unit == "M") => {
            Err(format!("{text:?} could be minutes or months: write \"minutes\" or \"months\""))
        }
        Value::String(text) => humantime::parse_duration(text.trim())
            .map_err(|error| format!("{text:?} is no duration: {error}; {EXAMPLE}")),
        Value::Number(number) => Err(format!("{number} has no unit: {EXAMPLE}")),
        other => Err(format!("{other} is no duration: {EXAMPLE}")),
    }
}

/// A whole number, also as text.
pub(crate) fn whole<T: TryFrom<u64>>(given: Value, example: u32) -> Result<T, String> {
    let number = match &given {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| format!("{given} is no whole number: write it like {example}"))?;
    number.try_into().map_err(|_| format!("{number} is too large: write it like {example}"))
}

/// True or false, also as text.
pub(crate) fn truth(given: Value) -> Result<bool, String> {
    match &given {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(format!("{given} is neither: write true or false")),
    }
}

/// Text as it is, but not empty.
pub(crate) fn text(given: Value, example: &str) -> Result<String, String> {
    match given {
        Value::String(text) if text.trim().is_empty() => {
            Err(format!("it is empty: leave it out, or write it like \"{example}\""))
        }
        Value::String(text) => Ok(text),
        other => Err(format!("{other} is no text: write it in quotes, like \"{example}\"")),
    }
}

/// One of the variants of an enum, in any case.
pub(crate) fn choice<T: DeserializeOwned>(given: Value) -> Result<T, String> {
    let text = match &given {
        Value::String(text) => text.trim().to_ascii_lowercase(),
        other => other.to_string(),
    };
    T::deserialize(Value::String(text)).map_err(|error| error.to_string())
}

/// Texts, also as one with commas between them or in the form of JSON.
pub(crate) fn texts(given: Value, example: &str) -> Result<Vec<String>, String> {
    let refused =
        |what: &Value, kind: &str| format!("{what} is no {kind}: write it like [\"{example}\"] or \"{example}\"");
    match given {
        Value::String(text) => Ok(match serde_json::from_str(&text) {
            Ok(texts) => texts,
            Err(_) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(str::to_owned).collect()
            }
        }),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                other => Err(refused(&other, "text")),
            })
            .collect(),
        other => Err(refused(&other, "list")),
    }
}

/// What is off, on with its defaults, or on with settings of its own.
pub(crate) fn switched<T: DeserializeOwned + Default>(given: Value) -> Result<Option<T>, String> {
    if given.is_object() {
        return serde_json::from_value(given).map(Some).map_err(|error| error.to_string());
    }
    let is_on = truth(given).map_err(|reason| format!("{reason}, or a table of its settings"))?;
    Ok(is_on.then(T::default))
}
