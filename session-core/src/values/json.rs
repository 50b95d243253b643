//! A session's values as JSON: their depth, their size, and the way to and from the application's
//! types.

mod finite;

use std::any::type_name;
use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{DataError, EncodeError, Error, Result};
use crate::model::data::Data;

/// How deep a value may be nested. Below serde_json's own limit for reading, with room for the
/// object around it.
const MAX_DEPTH: usize = 100;

pub(crate) type Values = Map<String, Value>;

/// The first values of a sign-in: an object that isn't too deep.
pub(crate) fn first_values(value: Value) -> Result<Values, DataError> {
    let Value::Object(values) = value else { return Err(DataError::NotAnObject) };
    match values.iter().find_map(|(key, value)| too_deep(value, MAX_DEPTH).then_some(key)) {
        Some(key) => Err(DataError::TooDeep { key: key.clone() }),
        None => Ok(values),
    }
}

/// The data of a sign-in, not larger than `limit`.
pub(crate) fn sign_in_data(values: Values, limit: usize) -> Result<Data, DataError> {
    let data = Data::encode(Arc::new(values));
    if data.text().len() > limit {
        let largest =
            data.values().and_then(|v| v.iter().max_by_key(|(k, v)| entry_size(k, v)).map(|(k, _)| k.clone()));
        return Err(DataError::TooLarge { key: largest.unwrap_or_default(), limit });
    }
    Ok(data)
}

/// `value` as JSON. It is an error if its `Serialize` fails, a float in it isn't finite, or it is
/// too deep to be read back.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Value> {
    let value = finite::to_value(value)
        .map_err(|error| DataError::Unencodable { key: key.to_owned(), source: EncodeError::of(&error) })?;
    if too_deep(&value, MAX_DEPTH) {
        return Err(DataError::TooDeep { key: key.to_owned() }.into());
    }
    Ok(value)
}

/// `value` as a `T`. The error leaves out serde_json's message, which would quote the value.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|_| Error::WrongType { key: key.to_owned(), expected: type_name::<T>() })
}

/// Takes a key out, and leaves the others in their order. `Map::remove` would move the last one to
/// its place where another crate turned on serde_json's `preserve_order`.
pub(crate) fn take_out(values: &mut Values, key: &str) -> Option<Value> {
    let mut taken = None;
    values.retain(|other, value| {
        let stays = other != key;
        if !stays {
            taken = Some(value.take());
        }
        stays
    });
    taken
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
    use std::error::Error as _;

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
            (encode("k\n", &Failing).unwrap_err(), "the year\\nis over"),
        ] {
            let (text, source) = (error.to_string(), error.source().expect("serde's reason").to_string());
            assert!(text.contains(r#""k\n""#) && source.contains(reason), "{text}: {source}");
            assert_eq!(error.status(), 500, "the program's fault, not the request's");
        }
    }

    #[test]
    fn a_number_that_serde_json_can_not_hold_is_refused_and_any_other_kept_whole() {
        match (serde_json::Number::from_u128(u128::MAX), encode("k", &u128::MAX)) {
            (None, Err(error)) => {
                assert!(error.source().expect("serde's reason").to_string().contains("number out of range"));
            }
            // With its feature `arbitrary_precision`.
            (Some(_), Ok(value)) => assert_eq!(decode::<u128>("k", &value).unwrap(), u128::MAX),
            (number, encoded) => panic!("{number:?} became {encoded:?}"),
        }
    }

    #[test]
    fn a_key_that_is_taken_out_leaves_the_others_in_their_order() {
        let mut values: Values = serde_json::from_str(r#"{"d":1,"c":2,"b":3,"a":4}"#).unwrap();
        let before: Vec<_> = values.keys().filter(|key| *key != "c").cloned().collect();
        assert_eq!(take_out(&mut values, "c"), Some(json!(2)));
        assert_eq!(take_out(&mut values, "c"), None);
        assert!(values.keys().eq(&before), "{before:?}");
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
