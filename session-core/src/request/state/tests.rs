//! Each change of the state, and what it leaves.

use time::macros::datetime;

use super::*;
use crate::model::data::Data;
use crate::model::user_id::Shard;
use crate::model::user_id::UserId;

const NOW: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);

fn token(session: u8, seed: u8) -> SessionToken {
    SessionToken::from_parts(Shard::of("ada"), id(session), [seed; 32])
}

fn record(session: u8) -> Arc<Record> {
    Arc::new(Record {
        id: id(session),
        user_id: UserId::parse("ada").unwrap(),
        token_hash: token(session, session).hash(),
        previous_token_hash: None,
        token_issued_at: NOW,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::default(),
        data: Data::from_text("{}"),
        version: 0,
        persistent: true,
        created_at: NOW,
        authenticated_at: NOW,
        last_active_at: NOW,
        expires_at: NOW,
        absolute_expires_at: NOW,
    })
}

fn id(session: u8) -> SessionId {
    SessionId::from_bytes([session; 16])
}

fn carried(session: u8) -> State {
    State::Carried(Active::of(record(session), token(session, session).hash(), NOW))
}

fn sign_in(session: u8) -> Transition {
    Transition::SignIn { record: record(session), token: token(session, session) }
}

fn rotate(session: u8, to: u8) -> Transition {
    Transition::Rotate { token: token(session, to), strict: false, at: NOW, expires_at: NOW }
}

fn sign_out(sessions: &[u8]) -> Transition {
    Transition::SignOut(sessions.iter().map(|session| id(*session)).collect())
}

fn sends(state: &State, seed: u8) -> bool {
    matches!(state.cookie(true), CookieAction::Send { token: sent, .. } if sent.secret() == &[seed; 32])
}

#[test]
fn the_last_sign_in_or_rotation_decides_the_cookie() {
    assert!(sends(&State::Anonymous.next(sign_in(1)).next(sign_in(2)), 2));
    assert!(sends(&carried(1).next(rotate(1, 5)).next(rotate(1, 6)), 6));
    assert!(sends(&carried(1).next(sign_out(&[1])).next(sign_in(2)), 2));
    assert!(sends(&carried(1).next(Transition::SendAgain(token(1, 7))), 7));
}

#[test]
fn a_token_from_the_end_of_the_calendar_can_be_rotated() {
    // As a hostile database may say. The attacks at random found it.
    let end = datetime!(9999-12-31 23:59:59.999_999 UTC);
    let row = Arc::new(Record { token_issued_at: end, ..Record::clone(&record(1)) });
    let state = State::Carried(Active::of(row, token(1, 1).hash(), NOW));
    assert!(sends(&state.next(rotate(1, 5)), 5));
}

#[test]
fn a_sign_out_removes_a_carried_cookie_only() {
    let out = State::Anonymous.next(sign_in(1)).next(sign_out(&[1]));
    assert!(matches!(out.cookie(false), CookieAction::LeaveAlone));
    assert!(matches!(out.cookie(true), CookieAction::Remove));
    assert!(matches!(State::Anonymous.next(sign_out(&[])).cookie(true), CookieAction::Remove));
}

#[test]
fn a_session_found_ended_leaves_the_cookie_alone_until_a_sign_out() {
    let ended = carried(1).next(rotate(1, 5)).next(Transition::FindEnded(id(1)));
    assert!(matches!(ended.cookie(true), CookieAction::LeaveAlone));
    assert!(ended.active().is_none() && ended.held().is_some());
    assert!(matches!(ended.next(sign_out(&[1])).cookie(true), CookieAction::Remove));
}

#[test]
fn news_of_another_session_change_nothing() {
    let state = carried(1).next(rotate(2, 5)).next(Transition::FindEnded(id(2))).next(sign_out(&[2, 3]));
    let state = state.next(Transition::SendAgain(token(2, 6)));
    assert_eq!(state.active().map(|active| active.record.id), Some(id(1)));
    assert!(matches!(state.cookie(true), CookieAction::LeaveAlone));
}

#[test]
fn nothing_rotates_a_session_back_to_life() {
    let ended = || carried(1).next(Transition::FindEnded(id(1)));
    for state in [State::Anonymous, State::SignedOut, ended()] {
        assert!(state.next(rotate(1, 5)).active().is_none());
    }
    for state in [State::Anonymous, State::SignedOut, ended()] {
        assert!(state.next(Transition::SendAgain(token(1, 5))).active().is_none());
    }
}
