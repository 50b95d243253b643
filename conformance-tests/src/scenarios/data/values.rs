//! DATA-12, DATA-17: which values a session keeps, exactly as they were.

use std::error::Error as _;

use serde_json::{Value, json};

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_process::{committed, extracted};
use crate::scenarios::support::stored::{data, message, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-12", "every key comes back as it went in", every_key_comes_back),
    scenario!("DATA-12", "every value comes back as it went in", every_value_comes_back),
    scenario!("DATA-12", "floats come back to the bit", floats_come_back_to_the_bit),
    scenario!("DATA-17", "floats that aren't finite are refused where they are set", non_finite_floats_are_refused),
    scenario!("DATA-12", "numbers keep the digits that serde_json keeps", numbers_keep_their_digits),
    scenario!("DATA-12", "keys keep the order that serde_json keeps", keys_keep_their_order),
    scenario!("DATA-12", "null is a value", null_is_a_value),
    scenario!("DATA-12", "a value 100 deep is kept and a deeper one refused", deep_values),
    scenario!("DATA-12", "a value whose Serialize fails is refused", unserializable_values),
];

/// Keys that some database, query language or escape would stumble over.
const KEYS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "a ",
    "a.b",
    "a\"b",
    "a'b",
    "$",
    "$.a",
    "$[0]",
    "[0]",
    "0",
    "a[0]",
    "\\",
    "\\u0000",
    "\u{0}",
    "a\u{0}b",
    "%",
    "_",
    "?",
    ":a",
    "--",
    ";",
    "/",
    "~0",
    "#>>",
    "{}",
    "null",
    "__proto__",
    "\n",
    "\r\n",
    "\t",
    "\u{7f}",
    "\u{2028}",
    "\u{feff}",
    "é",
    "e\u{301}",
    "ключ",
    "鍵",
    "مفتاح",
    "👩‍👩‍👧",
    "\u{10ffff}",
    "\u{fffd}",
];

async fn every_key_comes_back(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let set: Vec<_> = KEYS.iter().map(|key| json!({"op": "set", "key": key, "value": [key]})).collect();
    browser.run(Value::Array(set)).await;
    let get: Vec<_> = KEYS.iter().map(|key| json!({"op": "get", "key": key})).collect();
    let reply = browser.run(Value::Array(get)).await;
    for (i, key) in KEYS.iter().enumerate() {
        assert_eq!(reply.result(i), json!({"value": [key]}), "{key:?}");
    }
    let mut expected: serde_json::Map<_, _> = KEYS.iter().map(|key| ((*key).to_owned(), json!([key]))).collect();
    assert_eq!(data(&world, "ada").await, Value::Object(expected.clone()));
    for key in KEYS {
        let reply = browser.run(json!([{"op": "remove_key", "key": key}])).await;
        assert_eq!(reply.error_status(0), None, "{key:?}");
        expected.remove(*key);
        assert_eq!(data(&world, "ada").await, Value::Object(expected.clone()), "only {key:?} was removed");
    }
}

async fn every_value_comes_back(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let objects: serde_json::Map<_, _> = KEYS.iter().map(|key| ((*key).to_owned(), json!({*key: key}))).collect();
    let values = [
        json!(true),
        json!(false),
        json!(0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(9_007_199_254_740_993_u64),
        json!(1.0),
        json!(""),
        json!("null"),
        json!(KEYS),
        json!([]),
        json!({}),
        json!([[], {}, [null], {"": {}}]),
        json!({"a": {"b": {"c": [1, "2", 3.5, null, true]}}, "a.b": 1}),
        Value::Object(objects),
    ];
    for (i, value) in values.iter().enumerate() {
        browser.run(json!([{"op": "set", "key": i.to_string(), "value": value}])).await;
    }
    for (i, value) in values.iter().enumerate() {
        let reply = browser.run(json!([{"op": "get", "key": i.to_string()}])).await;
        assert_eq!(reply.result(0), json!({"value": value}));
    }
    // `1` and `1.0` are different values too, and so are their texts.
    assert_eq!(data(&world, "ada").await["7"].to_string(), "1.0");
    let given = json!({"max": u64::MAX, "min": i64::MIN, "": {"": null}, "\u{0}": "\u{0}"});
    browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": given}])).await;
    assert_eq!(data(&world, "ada").await, given, "data given at sign-in");
}

async fn floats_come_back_to_the_bit(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let floats = [
        0.0,
        -0.0,
        0.1,
        -0.1,
        0.1 + 0.2,
        1e-7,
        1e15,
        1e16,
        1e21,
        1e22,
        1e23,
        f64::EPSILON,
        f64::MIN_POSITIVE,
        5e-324,
        2.225_073_858_507_201e-308,
        f64::MAX,
        f64::MIN,
        9_007_199_254_740_993.0,
        123_456_789.123_456_78,
        1.0 / 3.0,
    ];
    browser.run(json!([{"op": "set", "key": "floats", "value": floats}])).await;
    let reply = browser.run(json!([{"op": "get", "key": "floats"}])).await;
    let back = reply.result(0)["value"].clone();
    let back: Vec<_> = back.as_array().unwrap().iter().map(|number| number.as_f64().unwrap().to_bits()).collect();
    assert_eq!(back, floats.map(f64::to_bits));
}

/// With `arbitrary_precision` serde_json keeps all of them as they are written.
async fn numbers_keep_their_digits(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let texts =
        ["0.10000000000000000000000000000001", "123456789012345678901234567890", "1.10", "-0.0", "1e400", "2E-7"];
    let numbers: Vec<Value> = texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    browser.run(json!([{"op": "set", "key": "numbers", "value": numbers}])).await;
    let reply = browser.run(json!([{"op": "get", "key": "numbers"}, {"op": "set", "key": "other", "value": 1}])).await;
    assert_eq!(reply.result(0)["value"].to_string(), json!(numbers).to_string());
    assert_eq!(data(&world, "ada").await["numbers"].to_string(), json!(numbers).to_string());
    let row = &rows(&world, "ada").await[0];
    assert!(row.data.text().contains(&json!(numbers).to_string()), "to the byte: {}", row.data.text());
}

/// With `preserve_order` that is the order in which they were set, else the alphabet's.
async fn keys_keep_their_order(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    for key in ["d", "c", "b", "e", "a"] {
        browser.run(json!([{"op": "set", "key": key, "value": {"z": 1, "y": 2}}])).await;
    }
    browser.run(json!([{"op": "remove_key", "key": "c"}, {"op": "set", "key": "b", "value": 3}])).await;
    let kept: Value = serde_json::from_str(r#"{"d":{"z":1,"y":2},"b":3,"e":{"z":1,"y":2},"a":{"z":1,"y":2}}"#).unwrap();
    assert_eq!(rows(&world, "ada").await[0].data.text(), kept.to_string());
}

async fn non_finite_floats_are_refused(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "alone", "value": 1.5}])).await;
    let (scope, session) = extracted(&world, &browser).await;
    let infinite = [1.0, f64::INFINITY, f64::NEG_INFINITY];
    for refused in [session.set("alone", &f64::NAN), session.set("list", &infinite), session.set("single", &f32::NAN)] {
        assert_eq!(refused.unwrap_err().status(), 500);
    }
    let error = session.update("alone", |_: Option<f64>| f64::NAN).unwrap_err();
    let reason = error.source().expect("serde's reason").to_string();
    assert!(
        error.status() == 500 && error.to_string().contains("alone") && reason.contains("NaN"),
        "{error}: {reason}"
    );
    assert_eq!(session.get::<f64>("alone").unwrap(), Some(1.5));
    session.set("other", &2.5).unwrap();
    committed(&scope).await;
    assert_eq!(data(&world, "ada").await, json!({"alone": 1.5, "other": 2.5}));
}

async fn null_is_a_value(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let get = json!({"op": "get", "key": "nothing"});
    let reply = browser.run(json!([get, {"op": "set", "key": "nothing", "value": null}, get])).await;
    assert_eq!((reply.result(0), reply.result(2)), (json!({"absent": true}), json!({"value": null})));
    let reply = browser.run(json!([get, {"op": "current"}, {"op": "remove_key", "key": "nothing"}, get])).await;
    assert_eq!(reply.result(0), json!({"value": null}));
    assert_eq!(reply.result(1)["data"], json!({"nothing": null}));
    assert_eq!(reply.result(3), json!({"absent": true}));
    assert_eq!(data(&world, "ada").await, json!({}));
}

pub(super) fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, i| if i % 2 == 0 { json!([inner]) } else { json!({"": inner}) })
}

async fn deep_values(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let reply = browser
        .run(json!([
            {"op": "set", "key": "deep", "value": nested(100)},
            {"op": "set", "key": "deep", "value": nested(101)},
            {"op": "set", "key": "deeper", "value": nested(110)},
            {"op": "set", "key": "other", "value": 1},
        ]))
        .await;
    assert_eq!(reply.error_status(0), None);
    assert_eq!((reply.error_status(1), reply.error_status(2)), (Some(400), Some(400)));
    assert!(message(&reply.result(1)).contains("deep") && message(&reply.result(2)).contains("deeper"));
    assert_eq!(data(&world, "ada").await, json!({"deep": nested(100), "other": 1}));
    let reply = browser.run(json!([{"op": "authenticate_with", "user": "bob", "data": {"deep": nested(101)}}])).await;
    assert_eq!((reply.error_status(0), reply.sends_cookie()), (Some(400), false));
    let reply = browser.run(json!([{"op": "get", "key": "deep"}])).await;
    assert_eq!(reply.result(0), json!({"value": nested(100)}));
}

async fn unserializable_values(world: World) {
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let reply = browser
        .run(json!([
            {"op": "set_unserializable", "key": "a"},
            {"op": "get", "key": "a"},
            {"op": "set_unserializable", "key": "unknown"},
            {"op": "set", "key": "b", "value": 2},
        ]))
        .await;
    assert_eq!((reply.error_status(0), reply.error_status(2)), (Some(500), Some(500)));
    let message = message(&reply.result(2));
    assert!(message.contains("unknown") && message.contains("refused"), "the key and the reason: {message}");
    assert_eq!(reply.result(1), json!({"value": 1}));
    assert_eq!(data(&world, "ada").await, json!({"a": 1, "b": 2}));
}
