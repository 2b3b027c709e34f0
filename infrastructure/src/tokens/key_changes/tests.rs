//! Tests of the changes of the set of keys, by times and states.

use authlog_application::LONGEST_TOKEN;
use authlog_domain::CLOCK_DIFFERENCE;
use proptest::prelude::*;

use super::*;

const ALGORITHM: JwtAlgorithm = JwtAlgorithm::EdDsa;

fn start() -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000)
}

fn key() -> SigningKey {
    SigningKey::generate(ALGORITHM).unwrap()
}

/// Applies changes as a store does.
fn apply(keys: &mut Vec<KeyRecord>, changed: Vec<KeyRecord>) {
    for change in changed {
        match keys.iter_mut().find(|key| key.kid == change.kid) {
            Some(key) => *key = change,
            None => keys.push(change),
        }
    }
}

fn states(keys: &[KeyRecord], at: Timestamp) -> Vec<KeyState> {
    keys.iter().map(|key| key.state(at)).collect()
}

fn first() -> Vec<KeyRecord> {
    add_successor(&[], &key(), PUBLISHED_FOR, start())
}

#[test]
fn the_first_key_signs_at_once() {
    let keys = first();
    assert_eq!(states(&keys, start()), [KeyState::Signing]);
    assert!(!needs_key(&keys, ALGORITHM));
    assert!(needs_key(&keys, JwtAlgorithm::Rs256) && needs_key(&[], ALGORITHM));
}

#[test]
fn a_set_keeps_its_algorithm_until_a_setting_names_another() {
    use JwtAlgorithm::{EdDsa, Es256, Hs256, Rs256};
    assert_eq!(next_algorithm(&[], None), Es256);
    assert_eq!(next_algorithm(&[], Some(EdDsa)), EdDsa);
    let mut keys = first();
    assert_eq!(next_algorithm(&keys, None), EdDsa);
    assert_eq!(next_algorithm(&keys, Some(Es256)), Es256);
    // The newest key counts, even before it signs.
    let rsa = SigningKey::generate(Rs256).unwrap();
    let changed = rotate(&keys, &rsa, false, start()).unwrap();
    apply(&mut keys, changed);
    assert_eq!(next_algorithm(&keys, None), Rs256);
    keys.reverse();
    assert_eq!(next_algorithm(&keys, None), Rs256);
    // A set whose keys are all retired keeps its algorithm as well.
    let given_up: Vec<_> = first()
        .into_iter()
        .map(|key| key.retired(start()))
        .collect();
    assert_eq!(next_algorithm(&given_up, None), EdDsa);
    // No HS256 secret is generated, because no client would share it.
    let shared = SigningKey::generate(Hs256).unwrap();
    assert_eq!(
        next_algorithm(&[KeyRecord::new(&shared, start())], None),
        Es256
    );
}

#[test]
fn a_key_is_published_then_signs_then_verifies_then_expires() {
    use KeyState::{Published, Retired, Signing, Verifying};
    let mut keys = first();
    let changed = rotate(&keys, &key(), false, start()).unwrap();
    apply(&mut keys, changed);
    let handover = start().plus(PUBLISHED_FOR);
    let moment = Duration::from_millis(1);
    assert_eq!(states(&keys, start()), [Signing, Published]);
    assert_eq!(states(&keys, handover.minus(moment)), [Signing, Published]);
    assert_eq!(states(&keys, handover), [Verifying, Signing]);
    let end = handover.plus(LONGEST_TOKEN).plus(CLOCK_DIFFERENCE);
    assert_eq!(states(&keys, end.minus(moment)), [Verifying, Signing]);
    assert_eq!(states(&keys, end), [Retired, Signing]);
    // The next change removes its private half.
    let changed = rotate(&keys, &key(), false, end).unwrap();
    apply(&mut keys, changed);
    assert!(keys[0].private.is_none() && keys[1].private.is_some());
}

#[test]
fn a_published_successor_can_only_be_brought_forward() {
    let mut keys = first();
    let changed = rotate(&keys, &key(), false, start()).unwrap();
    apply(&mut keys, changed);
    let again = rotate(&keys, &key(), false, start());
    assert!(matches!(again, Err(KeyRefusal::AlreadyPublished { .. })));
    let changed = rotate(&keys, &key(), true, start()).unwrap();
    apply(&mut keys, changed);
    assert_eq!(keys.len(), 2);
    let soon = start().plus(KNOWN_TO_NODES_AFTER);
    assert_eq!(
        states(&keys, soon),
        [KeyState::Verifying, KeyState::Signing]
    );
}

#[test]
fn a_key_of_another_algorithm_replaces_one_that_has_not_signed_yet() {
    use KeyState::{Published, Retired, Signing, Verifying};
    let mut keys = first();
    let changed = rotate(&keys, &key(), false, start()).unwrap();
    apply(&mut keys, changed);
    let other = SigningKey::generate(JwtAlgorithm::Es256).unwrap();
    let later = start().plus(Duration::from_secs(60));
    let changed = add_successor(&keys, &other, PUBLISHED_FOR, later);
    apply(&mut keys, changed);
    assert_eq!(states(&keys, later), [Signing, Retired, Published]);
    let handover = later.plus(PUBLISHED_FOR);
    assert_eq!(states(&keys, handover), [Verifying, Retired, Signing]);
}

#[test]
fn a_retired_key_is_invalid_at_once_and_another_signs() {
    let mut keys = first();
    let kid = keys[0].kid.clone();
    let changed = retire(&keys, &kid, SigningKey::generate, start()).unwrap();
    apply(&mut keys, changed);
    assert_eq!(
        states(&keys, start()),
        [KeyState::Retired, KeyState::Signing]
    );
    assert!(keys[0].private.is_none());
    let again = retire(&keys, &kid, SigningKey::generate, start());
    assert!(matches!(again, Err(KeyRefusal::AlreadyRetired { .. })));
    let unknown = retire(&keys, "unknown", SigningKey::generate, start());
    assert!(matches!(unknown, Err(KeyRefusal::Unknown(_))));
}

proptest! {
    /// After any sequence of changes, one key signs at every moment, and a token is valid until it expires unless its key was
    /// retired.
    #[test]
    fn one_key_signs_at_every_moment_and_verifies_until_its_last_token_has_expired(
        steps in proptest::collection::vec((0..5_u8, 0..20_u8, 0..1_000_000_u64), 1..12),
    ) {
        let mut keys = first();
        let mut now = start();
        let mut signed: Vec<(String, Timestamp)> = Vec::new();
        let mut retired: Vec<String> = Vec::new();
        for (what, which, later) in steps {
            let changed = match what {
                0 => rotate(&keys, &key(), false, now).unwrap_or_default(),
                1 => rotate(&keys, &key(), true, now).unwrap_or_default(),
                2 => add_successor(&keys, &key(), PUBLISHED_FOR, now),
                3 => {
                    let kid = keys[usize::from(which) % keys.len()].kid.clone();
                    let changed = retire(&keys, &kid, SigningKey::generate, now);
                    retired.extend(changed.is_ok().then_some(kid));
                    changed.unwrap_or_default()
                }
                _ => vec![],
            };
            apply(&mut keys, changed);
            let newest = keys.iter().filter(|key| key.signs_until.is_none()).count();
            prop_assert_eq!(newest, 1);
            for at in [now, now.plus(Duration::from_millis(later / 2)), now.plus(Duration::from_millis(later))] {
                let signing: Vec<_> = keys.iter().filter(|key| key.state(at) == KeyState::Signing).collect();
                prop_assert_eq!(signing.len(), 1);
                prop_assert!(signing[0].private.is_some());
            }
            let signing = keys.iter().find(|key| key.state(now) == KeyState::Signing).unwrap();
            signed.push((signing.kid.clone(), now));
            now = now.plus(Duration::from_millis(later));
            for (kid, at) in &signed {
                let key = keys.iter().find(|key| &key.kid == kid).unwrap();
                let good = key.state(now) != KeyState::Retired && key.private.is_some();
                let expired = at.plus(LONGEST_TOKEN) <= now;
                prop_assert!(good || expired || retired.contains(kid), "{kid} signed at {at}");
            }
        }
    }
}
