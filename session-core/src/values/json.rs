//! A session's values as JSON: how deep, how large, and to and from the application's types.

mod finite;

use std::any::type_name;
use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{DataError, Error, Result};
use crate::model::data::Data;

/// How deep a value may be nested: under serde_json's own limit for reading, with room for the session's object.
const MAX_DEPTH: usize = 100;

pub(crate) type Values = Map<String, Value>;

/// The data of a sign-in: an object, each value within depth, all within `limit`.
pub(crate) fn sign_in_data(value: Value, limit: usize) -> Result<Data, DataError> {
    let Value::Object(values) = value else { return Err(DataError::NotAnObject) };
    if let Some(key) = values.iter().find_map(|(key, value)| too_deep(value, MAX_DEPTH).then_some(key)) {
        return Err(DataError::TooDeep { key: key.clone() });
    }
    let data = Data::encode(Arc::new(values));
    if data.text().len() > limit {
        let largest =
            data.values().and_then(|v| v.iter().max_by_key(|(k, v)| entry_size(k, v)).map(|(k, _)| k.clone()));
        return Err(DataError::TooLarge { key: largest.unwrap_or_default(), limit });
    }
    Ok(data)
}

/// `value` as JSON, unless its `Serialize` fails, a float in it isn't finite, or it is too deep to read back.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Value> {
    let value = finite::to_value(value)
        .map_err(|error| DataError::Unencodable { key: key.to_owned(), reason: error.to_string() })?;
    if too_deep(&value, MAX_DEPTH) {
        return Err(DataError::TooDeep { key: key.to_owned() }.into());
    }
    Ok(value)
}

/// `value` as a `T`. serde_json's own message would quote the value, so it is left out.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|_| Error::WrongType { key: key.to_owned(), expected: type_name::<T>() })
}

fn too_deep(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left == 0 || items.iter().any(|item| too_deep(item, left - 1)),
        Value::Object(items) => left == 0 || items.values().any(|item| too_deep(item, left - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Bytes of one entry in a JSON object, without a comma.
pub(crate) fn entry_size(key: &str, value: &Value) -> usize {
    json_size(key) + json_size(value) + 1
}

pub(crate) fn json_size<T: Serialize + ?Sized>(value: &T) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("counting the bytes of a JSON value can't fail");
    count.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_json_can_not_write_is_refused_by_key_with_the_reason() {
        struct Failing;
        impl Serialize for Failing {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("the year\nis over"))
            }
        }
        for (error, reason) in [
            (encode("k\n", &[f64::NAN]).unwrap_err(), "NaN is not a JSON number"),
            (encode("k\n", &u128::MAX).unwrap_err(), "number out of range"),
            (encode("k\n", &Failing).unwrap_err(), "the year\\nis over"),
        ] {
            let text = error.to_string();
            assert!(text.contains(r#""k\n""#) && text.contains(reason), "{text}");
            assert_eq!(error.status(), 500, "the program's fault, not the request's");
        }
    }

    #[test]
    fn values_over_100_deep_are_refused_by_key() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(encode("k", &nested(100)).is_ok());
        let error = encode("k", &nested(101)).unwrap_err();
        assert!(error.to_string().contains("\"k\"") && error.status() == 400, "{error}");
        let data = Data::encode(Arc::new(Map::from_iter([("k".to_owned(), nested(100))])));
        assert!(Data::from_text(data.text()).values().is_some(), "what is accepted can be read back");
    }
}
