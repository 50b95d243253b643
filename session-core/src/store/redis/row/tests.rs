use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn any_time() -> impl Strategy<Value = OffsetDateTime> {
    (-62_135_596_800_000_000i64..253_402_300_799_999_999).prop_map(|micros| time(micros).expect("a year up to 9999"))
}

fn any_row() -> impl Strategy<Value = Record> {
    let hashes = (any::<[u8; 32]>(), option::of(any::<[u8; 32]>()), option::of(any::<[u8; 32]>()));
    let times = (vec(any_time(), 6), option::of(any_time()));
    let texts = ("\\PC{1,60}", vec("\\PC{0,300}", 5), "\\PC{0,2000}");
    (hashes, times, texts, any::<(i64, bool, bool)>()).prop_map(
        |(hashes, (times, strict), texts, (version, seen, stays))| {
            let (user, client, data) = texts;
            let [ip_address, user_agent, device_name, device_type, fingerprint] = client.try_into().expect("five");
            Record {
                id: SessionId::from_bytes([9; 16]),
                user_id: UserId::parse(&user).expect("a user id"),
                token_hash: hash(hashes.0),
                previous_token_hash: hashes.1.map(hash),
                token_issued_at: times[0],
                token_seen: seen,
                successor: hashes.2.map(sealed),
                strict_rotated_at: strict,
                client: Arc::new(ClientInfo { ip_address, user_agent, device_name, device_type, fingerprint }),
                data: Data::from_text(data),
                version,
                persistent: stays,
                created_at: times[1],
                authenticated_at: times[2],
                last_active_at: times[3],
                expires_at: times[4],
                absolute_expires_at: times[5],
            }
        },
    )
}

proptest! {
    #[test]
    fn a_row_comes_back_as_it_was(row in any_row()) {
        let value = encode(&row);
        prop_assert_eq!(&*decode(row.id, &value).expect("a row of ours"), &row);
    }

    /// What a later release puts before the data is left alone.
    #[test]
    fn what_is_added_before_the_data_is_skipped(row in any_row(), added in vec(any::<u8>(), 0..100)) {
        let mut value = encode(&row);
        let data_at = value.len() - row.data.text().len();
        value.splice(data_at..data_at, added.iter().copied());
        value[DATA_AT..DATA_AT + 4].copy_from_slice(&length(data_at + added.len()));
        prop_assert_eq!(&*decode(row.id, &value).expect("a row of a later release"), &row);
    }

    #[test]
    fn times_are_in_order_as_bytes([a, b] in [any_time(), any_time()]) {
        prop_assert_eq!(time_bytes(a).cmp(&time_bytes(b)), a.cmp(&b));
        prop_assert_eq!(time_of(time_bytes(a)), Some(a));
    }

    /// A stranger's value is an error, or a row if it is one by chance.
    #[test]
    fn no_value_panics(value in vec(any::<u8>(), 0..600)) {
        drop(decode(SessionId::from_bytes([9; 16]), &value));
    }

    #[test]
    fn no_damage_panics(row in any_row(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut: prop::sample::Index) {
        let mut value = encode(&row);
        for (at, byte) in damage {
            let at = at.index(value.len());
            value[at] = byte;
        }
        drop(decode(row.id, &value));
        value.truncate(cut.index(value.len()));
        if let Err(error) = decode(row.id, &value) {
            let is_named = matches!(error, StoreError::Corrupt { id: Some(id), .. } if id == row.id);
            prop_assert!(is_named, "{}", error);
        }
    }
}

/// The scripts count on these places, and so does the documentation.
#[test]
fn everything_is_at_its_place() {
    let at = |seconds: i64| time(seconds * 1_000_000).expect("a time");
    let row = Record {
        id: SessionId::from_bytes([9; 16]),
        user_id: UserId::parse("ada").expect("a user id"),
        token_hash: hash([1; 32]),
        previous_token_hash: Some(hash([2; 32])),
        token_issued_at: at(1),
        token_seen: true,
        successor: Some(sealed([3; 32])),
        strict_rotated_at: Some(at(2)),
        client: Arc::new(ClientInfo::default()),
        data: Data::from_text("{}"),
        version: 7,
        persistent: true,
        created_at: at(6),
        authenticated_at: at(7),
        last_active_at: at(3),
        expires_at: at(4),
        absolute_expires_at: at(5),
    };
    let value = encode(&row);
    let mut expected = vec![1, 1];
    expected.extend([1; 32]);
    expected.push(1);
    expected.extend([2; 32]);
    expected.push(1);
    expected.extend([3; 32]);
    assert_eq!(expected.len(), 100);
    expected.extend(time_bytes(at(1)));
    expected.push(1);
    expected.extend(time_bytes(at(2)));
    assert_eq!(expected.len(), 117);
    expected.extend(7u64.to_be_bytes());
    expected.extend(time_bytes(at(3)));
    expected.extend(time_bytes(at(4)));
    assert_eq!(expected.len(), 141);
    [5, 6, 7].into_iter().for_each(|seconds| expected.extend(time_bytes(at(seconds))));
    expected.push(1);
    assert_eq!(expected.len(), DATA_AT);
    expected.extend(u32::try_from(DATA_AT + 5 + 3 + 20).expect("small").to_be_bytes());
    expected.extend(b"\x03ada");
    expected.extend([0; 20]);
    expected.extend(b"{}");
    assert_eq!(value, expected);
}
