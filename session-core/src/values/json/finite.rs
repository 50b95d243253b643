//! A value as JSON, as `serde_json::to_value` writes it, except for floats that JSON has no number
//! for. serde_json writes those as null; here they are an error.

use std::fmt::Display;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Value;

/// `value` as JSON.
///
/// # Errors
/// What `serde_json::to_value` refuses, and a float anywhere in the value that isn't finite.
pub(super) fn to_value<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Value> {
    value.serialize(Finite(serde_json::value::Serializer))
}

/// A wrapper that refuses floats that aren't finite and passes on everything else. It wraps a
/// serializer; or what a serializer began, such as a list, and then each of its parts; or a part,
/// and then the serializer that the part is given. So no part of a value meets a serializer without
/// it.
struct Finite<T>(T);

impl<T: Serialize + ?Sized> Serialize for Finite<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Finite(serializer))
    }
}

/// Methods for values that have no parts.
macro_rules! hand_on {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {
        $(fn $method(self, $($name: $type),*) -> Result<S::Ok, S::Error> {
            self.0.$method($($name),*)
        })*
    };
}

/// Methods for floats.
macro_rules! hand_on_if_finite {
    ($($method:ident($type:ty);)*) => {
        $(fn $method(self, float: $type) -> Result<S::Ok, S::Error> {
            if !float.is_finite() {
                return Err(S::Error::custom(format_args!("{float} is not a JSON number")));
            }
            self.0.$method(float)
        })*
    };
}

/// Methods for values that wrap another one, with or without a name.
macro_rules! hand_on_around {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {
        $(fn $method<T: Serialize + ?Sized>(self, $($name: $type,)* value: &T) -> Result<S::Ok, S::Error> {
            self.0.$method($($name,)* &Finite(value))
        })*
    };
}

/// Methods that begin a value that has parts.
macro_rules! begin {
    ($($method:ident($($name:ident: $type:ty),*) -> $begun:ident;)*) => {
        $(fn $method(self, $($name: $type),*) -> Result<Self::$begun, S::Error> {
            self.0.$method($($name),*).map(Finite)
        })*
    };
}

impl<S: Serializer> Serializer for Finite<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Finite<S::SerializeSeq>;
    type SerializeTuple = Finite<S::SerializeTuple>;
    type SerializeTupleStruct = Finite<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Finite<S::SerializeTupleVariant>;
    type SerializeMap = Finite<S::SerializeMap>;
    type SerializeStruct = Finite<S::SerializeStruct>;
    type SerializeStructVariant = Finite<S::SerializeStructVariant>;

    hand_on_if_finite! {
        serialize_f32(f32);
        serialize_f64(f64);
    }

    hand_on! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    hand_on_around! {
        serialize_some();
        serialize_newtype_struct(name: &'static str);
        serialize_newtype_variant(name: &'static str, index: u32, variant: &'static str);
    }

    begin! {
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant;
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// Implements one of the traits for values that have parts.
macro_rules! parts {
    ($trait:ident: $($method:ident($($name:ident: $type:ty)?))and+ $(, skips $skip:ident)?) => {
        impl<P: $trait> $trait for Finite<P> {
            type Ok = P::Ok;
            type Error = P::Error;

            $(fn $method<T: Serialize + ?Sized>(&mut self, $($name: $type,)? part: &T) -> Result<(), P::Error> {
                self.0.$method($($name,)? &Finite(part))
            })+

            $(fn $skip(&mut self, name: &'static str) -> Result<(), P::Error> {
                self.0.$skip(name)
            })?

            fn end(self) -> Result<P::Ok, P::Error> {
                self.0.end()
            }
        }
    };
}

parts!(SerializeSeq: serialize_element());
parts!(SerializeTuple: serialize_element());
parts!(SerializeTupleStruct: serialize_field());
parts!(SerializeTupleVariant: serialize_field());
parts!(SerializeMap: serialize_key() and serialize_value());
parts!(SerializeStruct: serialize_field(name: &'static str), skips skip_field);
parts!(SerializeStructVariant: serialize_field(name: &'static str), skips skip_field);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Clone, Serialize)]
    enum Kind<T> {
        Unit,
        Newtype(T),
        Tuple(u8, T),
        Struct { before: i64, part: T },
    }

    #[derive(Debug, Clone, Serialize)]
    struct Newtype<T>(T);

    #[derive(Debug, Clone, Serialize)]
    struct Tuple<T>(Option<()>, T);

    #[derive(Debug, Clone, Serialize)]
    struct Struct<T> {
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<u8>,
        name: String,
        part: T,
    }

    #[derive(Debug, Clone, Serialize)]
    struct Flat<T> {
        own: u8,
        #[serde(flatten)]
        part: Struct<T>,
        #[serde(flatten)]
        rest: BTreeMap<String, T>,
    }

    #[derive(Debug, Clone, Serialize)]
    #[serde(tag = "kind")]
    enum Tagged<T> {
        Only { part: T },
    }

    #[derive(Debug, Clone, Serialize)]
    #[serde(untagged)]
    enum Untagged<T> {
        Only(T),
    }

    #[derive(Serialize)]
    struct UnitStruct;

    struct Bytes;

    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(b"\0bytes\xff")
        }
    }

    /// What `to_value` gives with `part` at each place where a value can have parts.
    fn everywhere<T: Serialize + Clone>(part: &T) -> Vec<(&'static str, serde_json::Result<Value>)> {
        let part = || part.clone();
        let structure = || Struct { left_out: None, name: "n".into(), part: part() };
        vec![
            ("alone", to_value(&part())),
            ("some", to_value(&Some(part()))),
            ("box", to_value(&Box::new(part()))),
            ("newtype", to_value(&Newtype(part()))),
            ("list", to_value(&[part(), part()][..])),
            ("tuple", to_value(&(1, part()))),
            ("tuple struct", to_value(&Tuple(None, part()))),
            ("map", to_value(&HashMap::from([("k", part())]))),
            ("struct", to_value(&structure())),
            ("flattened", to_value(&Flat { own: 1, part: structure(), rest: BTreeMap::new() })),
            ("newtype variant", to_value(&Kind::Newtype(part()))),
            ("tuple variant", to_value(&Kind::Tuple(1, part()))),
            ("struct variant", to_value(&Kind::Struct { before: 1, part: part() })),
            ("tagged", to_value(&Tagged::Only { part: part() })),
            ("untagged", to_value(&Untagged::Only(part()))),
            ("deep", to_value(&[Some(Newtype(Kind::Tuple(1, BTreeMap::from([(7, vec![part()])]))))])),
        ]
    }

    #[test]
    fn a_float_that_is_not_finite_is_refused_wherever_it_is() {
        for (float, name) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
            let expected = format!("{name} is not a JSON number");
            #[expect(clippy::cast_possible_truncation, reason = "there are three of them in 32 bits too")]
            let short = everywhere(&(float as f32));
            for (place, result) in everywhere(&float).into_iter().chain(short) {
                assert_eq!(result.expect_err(place).to_string(), expected, "{place}");
            }
        }
        for (place, result) in everywhere(&1.5) {
            assert!(result.is_ok(), "{place}");
        }
    }

    #[test]
    fn a_key_of_a_map_that_is_not_finite_is_refused() {
        struct Keyed(f64);
        impl Serialize for Keyed {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map([(self.0, 1)])
            }
        }
        assert_eq!(to_value(&Keyed(0.5)).unwrap(), json!({"0.5": 1}));
        assert_eq!(to_value(&Keyed(f64::NAN)).unwrap_err().to_string(), "NaN is not a JSON number");
    }

    fn same<T: Serialize + ?Sized>(value: &T) {
        let (ours, theirs) = (to_value(value), serde_json::to_value(value));
        assert_eq!(ours.map_err(|error| error.to_string()), theirs.map_err(|error| error.to_string()));
    }

    #[test]
    fn values_of_every_kind_are_as_serde_json_writes_them() {
        same(&(u64::MAX, i64::MIN, i8::MIN, i16::MIN, i32::MIN, u8::MAX, u16::MAX, u32::MAX));
        same(&(i128::from(i64::MIN), u128::from(u64::MAX)));
        same(&i128::MIN);
        same(&u128::MAX);
        same(&(0.1_f32, f32::MAX, f32::MIN_POSITIVE, -0.0_f64, f64::MAX, 5e-324, 1e16));
        same(&(true, 'ß', "text", (), None::<u8>, Some(Some(1)), UnitStruct, Bytes));
        same(&[(); 0]);
        same(&BTreeMap::from([(-3_i64, 'a'), (4, 'b')]));
        same(&BTreeMap::from([(u128::MAX, 'a')]));
        same(&BTreeMap::from([(true, 'a')]));
        same(&BTreeMap::from([('c', UnitStruct)]));
        same(&BTreeMap::from([("", BTreeMap::from([(String::new(), 1)]))]));
        same(&BTreeMap::from([((1, 2), "a key that JSON hasn't")]));
        same(&BTreeMap::from([(None::<u8>, "nor this")]));
        same(&[Kind::Unit, Kind::Newtype(1), Kind::Tuple(2, 3), Kind::Struct { before: 4, part: 5 }]);
        same(&[Struct { left_out: Some(1), name: "n".into(), part: [1] }]);
        let part = Struct { left_out: None, name: "n".into(), part: 1 };
        same(&Flat { own: 2, part, rest: BTreeMap::from([("more".to_owned(), 3)]) });
        same(&(Tagged::Only { part: 1 }, Untagged::Only(Tuple(Some(()), Newtype("x")))));
        same(&Ipv4Addr::LOCALHOST);
        same(&format_args!("{:>4}", 1));
        same(&json!({"list": [1, -1, 1.5, null, {"": true}], "text": "x"}));
    }

    proptest! {
        #[test]
        fn finite_values_are_as_serde_json_writes_them(
            floats: Vec<(f64, f32)>,
            map in proptest::collection::hash_map(any::<i64>(), any::<Option<String>>(), 0..4),
            wide: (i128, u128),
            other: (char, bool, u64),
        ) {
            let floats: Vec<_> = floats.into_iter().filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
            same(&(Newtype(&floats), Kind::Tuple(1, &map), other));
            same(&wide);
        }
    }
}
