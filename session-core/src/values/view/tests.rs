use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::values::json::json_size;

fn view(value: &Value) -> View {
    View::of(Data::from_text(value.to_string()), 1)
}

fn add(view: &mut View, key: &str, by: u64) {
    let updater = Updater::new(&Arc::new(()), move |n: Option<u64>| n.unwrap_or(0).wrapping_add(by));
    let now = view.values().unwrap().get(key).cloned();
    let value = updater.run(key, now.as_ref()).unwrap();
    view.update(key, value, updater, 1 << 20).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u64),
    Remove(u8),
    Add(u8, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u8..4, 0u64..9).prop_map(|(k, v)| Step::Set(k, v)),
        (0u8..4).prop_map(Step::Remove),
        (0u8..4, 1u64..9).prop_map(|(k, v)| Step::Add(k, v)),
    ];
    proptest::collection::vec(step, 0..12)
}

fn run(view: &mut View, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Set(k, v) => view.set(&k.to_string(), json!(v), 1 << 20).unwrap(),
            Step::Remove(k) => view.remove(&k.to_string()).unwrap(),
            Step::Add(k, v) => add(view, &k.to_string(), *v),
        }
    }
}

fn stored_values(view: &mut View) -> Values {
    view.take().map_or_else(|| (*view.values().unwrap()).clone(), |p| (*p.write.data.values().unwrap()).clone())
}

proptest! {
    #[test]
    fn replaying_on_the_same_row_gives_what_the_request_saw(base in proptest::collection::btree_map("[0-3]", 0u64..9, 0..4), steps in steps()) {
        let base = json!(base);
        let mut view = view(&base);
        run(&mut view, &steps);
        let seen = view.values().unwrap();
        if let Some(mut pending) = view.take() {
            pending.rebase(&Data::from_text(base.to_string()), 1, 1 << 20).unwrap();
            prop_assert_eq!(pending.write.data.values().unwrap(), seen);
        }
    }

    #[test]
    fn saving_in_the_middle_changes_nothing_in_the_end(first in steps(), then in steps(), rebased: bool) {
        let base = json!({"0": 5});
        let mut whole = view(&base);
        run(&mut whole, &first);
        run(&mut whole, &then);
        let mut halves = view(&base);
        run(&mut halves, &first);
        let pending = halves.take();
        run(&mut halves, &then);
        if let Some(mut pending) = pending {
            if rebased {
                pending.rebase(&Data::from_text(base.to_string()), 1, 1 << 20).unwrap();
            }
            let later = halves.later(&pending).map(|later| pending.with(&later).unwrap());
            prop_assert!(halves.stored(&pending, later));
        }
        prop_assert_eq!(halves.size, json_size(&*halves.values().unwrap()));
        prop_assert_eq!(halves.values().unwrap(), whole.values().unwrap());
        prop_assert_eq!(stored_values(&mut halves), stored_values(&mut whole));
    }

    #[test]
    fn a_refused_store_loses_nothing(first in steps(), then in steps()) {
        let base = json!({"0": 5});
        let mut whole = view(&base);
        run(&mut whole, &first);
        run(&mut whole, &then);
        let mut halves = view(&base);
        run(&mut halves, &first);
        let pending = halves.take();
        run(&mut halves, &then);
        if let Some(pending) = pending {
            halves.not_stored(pending);
        }
        let fresh = Data::from_text(json!({"0": 70, "3": 1}).to_string());
        let rebased = |view: &mut View| view.take().map(|mut p| {
            p.rebase(&fresh, 9, 1 << 20).unwrap();
            p.write.data.values().unwrap()
        });
        prop_assert_eq!(rebased(&mut halves), rebased(&mut whole));
    }

    #[test]
    fn the_size_is_that_of_the_text(steps in steps()) {
        let mut view = view(&json!({}));
        run(&mut view, &steps);
        prop_assert_eq!(view.size, json_size(&*view.values().unwrap()));
    }

    #[test]
    fn any_stored_text_is_values_or_undecodable_and_no_panic(text: String) {
        let mut view = View::of(Data::from_text(text.clone()), 1);
        let object = serde_json::from_str::<Values>(&text).is_ok();
        prop_assert_eq!(view.set("k", json!(1), 1 << 20).is_ok(), object);
    }
}

#[test]
fn an_increment_replays_on_the_newer_value_and_a_set_overwrites_it() {
    let mut view = view(&json!({"n": 1, "s": 1}));
    add(&mut view, "n", 1);
    view.set("s", json!(2), 100).unwrap();
    let mut pending = view.take().unwrap();
    pending.rebase(&Data::from_text(r#"{"n":10,"s":10,"other":true}"#), 7, 100).unwrap();
    assert_eq!(
        pending.write.data.values().unwrap(),
        Arc::new(json!({"n": 11, "s": 2, "other": true}).as_object().unwrap().clone())
    );
    assert_eq!(pending.write.based_on, 7);
}

#[test]
fn a_replay_on_another_type_or_with_a_panic_is_an_error() {
    let mut first = view(&json!({}));
    add(&mut first, "n", 1);
    let Err(Refusal::Change(error)) = first.take().unwrap().rebase(&Data::from_text(r#"{"n":"secret"}"#), 2, 100)
    else {
        panic!("a replay on another type")
    };
    assert!(error.to_string().contains("\"n\"") && !error.to_string().contains("secret"), "{error}");
    let mut second = view(&json!({}));
    let updater = Updater::new(&Arc::new(()), |n: Option<u64>| if n.is_some() { panic!("on replay") } else { 1 });
    second.update("n", json!(1), updater, 100).unwrap();
    let Err(Refusal::Change(error)) = second.take().unwrap().rebase(&Data::from_text(r#"{"n":1}"#), 2, 100) else {
        panic!("a replay that panics")
    };
    assert_eq!((error.status(), error.to_string().contains("panicked")), (500, true));
}

#[test]
fn what_was_discarded_on_its_way_does_not_come_back() {
    let mut view = view(&json!({"n": 1}));
    add(&mut view, "n", 1);
    let pending = view.take().unwrap();
    view.discard();
    view.not_stored(pending);
    assert!(!view.has_changes());
    assert_eq!(view.values().unwrap().get("n"), Some(&json!(1)));
}

#[test]
fn what_was_left_open_comes_first_as_it_was_and_later_changes_after_it() {
    let mut view = view(&json!({"n": 1}));
    add(&mut view, "n", 1);
    let mut pending = view.take().unwrap();
    let (becomes, data) = (pending.write.becomes, pending.write.data.clone());
    pending.leave_open();
    view.left_open(pending);
    add(&mut view, "n", 5);
    assert!(view.has_open() && view.has_changes());

    let again = view.take().unwrap();
    assert_eq!((again.write.becomes, &again.write.data, again.is_open()), (becomes, &data, true));
    assert!(!view.has_open() && view.has_changes());
    assert!(view.stored(&again, None));
    let later = view.take().unwrap();
    assert_eq!((later.write.based_on, later.write.data.text()), (becomes, r#"{"n":7}"#));
    assert!(later.write.becomes != becomes && !later.is_open());
}

#[test]
fn what_was_left_open_is_discarded_with_the_rest() {
    let mut view = view(&json!({"n": 1}));
    add(&mut view, "n", 1);
    let pending = view.take().unwrap();
    view.left_open(pending);
    view.discard();
    assert!(view.take().is_none() && !view.has_changes());
    add(&mut view, "n", 1);
    let pending = view.take().unwrap();
    view.discard();
    view.left_open(pending);
    assert!(!view.has_changes(), "also if that was while it was on its way");
}

#[test]
fn each_base_has_an_identity_of_its_own() {
    let mut view = view(&json!({"n": 1}));
    add(&mut view, "n", 1);
    let mut pending = view.take().unwrap();
    pending.leave_open();
    let first = pending.write.becomes;
    assert_eq!([pending.to_store().becomes, pending.to_store().becomes], [first, first]);
    pending.rebase(&Data::from_text(r#"{"n":9}"#), 7, 100).unwrap();
    assert!(pending.to_store().becomes != first && !pending.is_open());
}
