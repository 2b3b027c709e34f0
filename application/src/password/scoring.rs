//! How hard a password is to guess, by zxcvbn, at a bounded cost.
//!
//! zxcvbn compares every part of a password with its dictionaries, once for each way to read the symbols in it as letters
//! ("l33t"). We call each such way a reading. The cost grows with the square of the length times the number of readings. 48
//! characters with all of the symbols have 800 readings, which took 130 ms of a processor, and a second of a busy one. Such
//! a password is therefore scored in two simpler forms instead: one in which words are found, and one in which keyboard
//! walks (such as `qwerty`) are found.

use authlog_domain::Flaw;
use zeroize::Zeroizing;
use zxcvbn::feedback::Warning;

/// How many characters are scored at most. Beyond this length only a password that repeats itself is easy to guess.
pub(super) const SCORED: usize = 48;

/// The largest cost of scoring the words of a password, as readings times the square of the length. All ten digits together
/// have eight readings, so a password without symbols is scored unchanged. So are all of zxcvbn's 30,000 passwords, and,
/// with rare exceptions, random ones of up to 20 characters. The most expensive passwords that a search of some minutes
/// found took 3.7 ms of a processor in a release build.
const WORK: usize = 8 * SCORED * SCORED;

/// The symbols of each letter that has several (`L33T_TABLE` in zxcvbn's `src/matching/mod.rs`). The other letters have one
/// symbol, which adds no reading.
const SYMBOLS_OF_A_LETTER: [&str; 7] = ["4@", "({[<", "69", "1!|", "1|7", "$5", "+7"];

/// The symbols that stand for two letters.
const SYMBOLS_OF_TWO_LETTERS: [char; 3] = ['1', '|', '7'];

/// Pairs of a character and its replacement.
type Replacements<'a> = &'a [(char, char)];

/// Replacements of symbols for finding words: each replacement stands for at least the same letter. Digits are not
/// replaced, so that dates are still found. Eight readings remain after all replacements. The symbols that keyboard walks
/// need most come last, because only as many replacements as necessary are made.
const SAME_LETTER: Replacements<'static> = &[
    ('{', '('),
    ('[', '('),
    ('<', '('),
    ('|', '1'),
    ('+', '7'),
    ('$', '5'),
    ('@', '4'),
    ('!', '1'),
];

/// Replacements for finding keyboard walks: each is on the same key of an American keyboard. At most two readings remain.
const SAME_KEY: Replacements<'static> = &[
    ('1', '!'),
    ('2', '@'),
    ('3', '#'),
    ('4', '$'),
    ('5', '%'),
    ('6', '^'),
    ('7', '&'),
    ('8', '*'),
    ('9', '('),
    ('0', ')'),
    ('-', '_'),
    ('=', '+'),
    ('{', '['),
    ('|', '\\'),
    ('<', ','),
];

/// Checks that `password` is not common and has at least the score `min_score`. The owner's words count as easy to guess.
/// Only the first [`SCORED`] characters are checked.
///
/// # Errors
/// [`Flaw::Common`] or [`Flaw::Guessable`].
pub(super) fn check(password: &str, min_score: u8, own_words: &[String]) -> Result<(), Flaw> {
    let password = cut(password);
    let for_words = replacements_for_words(password);
    check_form(password, min_score, own_words, for_words)?;
    if !for_words.is_empty() {
        check_form(password, min_score, own_words, SAME_KEY)?;
    }
    Ok(())
}

/// The first [`SCORED`] characters.
pub(super) fn cut(text: &str) -> &str {
    text.char_indices()
        .nth(SCORED)
        .map_or(text, |(end, _)| &text[..end])
}

/// The fewest replacements after which `password` costs no more than [`WORK`].
fn replacements_for_words(password: &str) -> Replacements<'static> {
    let length = password.chars().count();
    let enough = (0..SAME_LETTER.len()).find(|&count| {
        let form = replaced(password, &SAME_LETTER[..count]);
        readings(&form) * length * length <= WORK
    });
    &SAME_LETTER[..enough.unwrap_or(SAME_LETTER.len())]
}

/// An upper bound of the number of ways in which zxcvbn reads the symbols of `text` as letters.
fn readings(text: &str) -> usize {
    let choices: usize = SYMBOLS_OF_A_LETTER
        .iter()
        .map(|symbols| symbols.chars().filter(|it| text.contains(*it)).count())
        .map(|present| present.max(1))
        .product();
    // A symbol that stands for two letters is tried as both.
    if text.contains(SYMBOLS_OF_TWO_LETTERS) {
        2 * choices
    } else {
        choices
    }
}

fn replaced(text: &str, replacements: Replacements) -> Zeroizing<String> {
    let replacement = |character| {
        let found = replacements.iter().find(|(from, _)| *from == character);
        found.map_or(character, |(_, to)| *to)
    };
    Zeroizing::new(text.chars().map(replacement).collect())
}

/// Scores one form of `password`. The owner's words are brought into the same form.
fn check_form(
    password: &str,
    min_score: u8,
    own_words: &[String],
    form: Replacements,
) -> Result<(), Flaw> {
    let own_words: Vec<_> = own_words.iter().map(|word| replaced(word, form)).collect();
    let own_words: Vec<&str> = own_words.iter().map(|word| word.as_str()).collect();
    let estimate = zxcvbn::zxcvbn(&replaced(password, form), &own_words);
    if is_common(&estimate) {
        return Err(Flaw::Common);
    }
    if u8::from(estimate.score()) < min_score {
        return Err(Flaw::Guessable);
    }
    Ok(())
}

/// Whether the whole password, in any capitalisation, is among the ten thousand most common ones of zxcvbn's list of leaked
/// passwords.
fn is_common(estimate: &zxcvbn::Entropy) -> bool {
    let warning = estimate.feedback().and_then(|feedback| feedback.warning());
    matches!(
        warning,
        Some(
            Warning::ThisIsATop10Password
                | Warning::ThisIsATop100Password
                | Warning::ThisIsACommonPassword
        )
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    /// Every symbol that zxcvbn reads as a letter.
    const SYMBOLS: &str = "({[<369!1|7%205$+24@8";

    fn score_of(password: &str, own_words: &[&str]) -> u8 {
        let own_words: Vec<String> = own_words.iter().map(|word| cut(word).to_owned()).collect();
        (1..=4)
            .take_while(|&score| check(password, score, &own_words).is_ok())
            .last()
            .unwrap_or(0)
    }

    /// The score of the unchanged password, at any cost.
    fn unbounded_score_of(password: &str) -> u8 {
        u8::from(zxcvbn::zxcvbn(cut(password), &[]).score())
    }

    /// The processor time of this thread, the least of five attempts. A busy machine hardly changes it.
    fn cost_of(password: &str) -> Duration {
        let own_words = ["anna".repeat(63), "a".repeat(254), "1990".repeat(25)];
        let own_words = own_words.map(|word| cut(&word).to_owned());
        let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let costs = (0..5).map(|_| {
            let begun = now();
            let _ = check(password, 1, &own_words);
            now() - begun
        });
        costs.min().unwrap()
    }

    /// Three times the cost of 48 digits, which are scored unchanged.
    fn bound() -> Duration {
        3 * cost_of("314159265358979323846264338327950288419716939937")
    }

    #[test]
    fn no_password_costs_much_more_to_score_than_digits_do() {
        let bound = bound();
        let symbols: String = SYMBOLS.chars().cycle().take(SCORED).collect();
        for password in [
            symbols.as_str(),
            // From the attack that showed the cost, and the most expensive ones of a search.
            "({[<369!1|7%205$+24@8({[<369!1|7%205$+24@8({[<36",
            "91111ssr1-1911199011114nn4m7194$$7!ß1990😀6(/ei{0",
            "91111ssr119114i{1@1111ssr119114i{71990😀6smith0t|",
            "14nn4117<a11İ1111111117[İ1111111111111111117<a11",
            "aabbccddeeffgghhiijjkkllmmnnooppqqrrssttuuvvwwxx",
            "qwertyuiop[]{}|1234567890asdfghjkl;'zxcvbnm,./!@",
            "1/1/91-1-91.1.1991/1/91-1-91.1.1991/1/91-1-91.1.",
        ] {
            let cost = cost_of(password);
            assert!(cost <= bound, "{password}: {cost:?} against {bound:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn any_mixture_of_symbols_is_cheap_to_score(password in "[({\\[<369!1|7%05$+24@8a-e]{48}") {
            let (cost, bound) = (cost_of(&password), bound());
            prop_assert!(cost <= bound, "{:?} against {:?}", cost, bound);
        }
    }

    #[test]
    fn passwords_of_few_readings_are_scored_unchanged() {
        for (password, is_hard_to_guess) in [
            ("password", false),
            ("p@$$w0rd", false),
            ("P4$$w0rd!", false),
            ("qwertyuiop", false),
            ("1qaz2wsx3edc4rfv", false),
            ("!@#$%^&*()", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("abcabcabcabcabcabcabcabc", false),
            ("19901990", false),
            ("summer2024", false),
            ("tr0ub4dour&3", false),
            ("Tr0ub4dor", true),
            ("ahmadsolih1990", true),
            ("correcthorsebatterystaple", true),
            ("staple-quince-orbit-lagoon", true),
            ("314159265358979323846264338327950288419716939937", true),
        ] {
            assert!(replacements_for_words(password).is_empty(), "{password}");
            let is_accepted = check(password, 3, &[]).is_ok();
            assert_eq!(is_accepted, is_hard_to_guess, "{password}");
            assert_eq!(unbounded_score_of(password) >= 3, is_hard_to_guess);
        }
    }

    #[test]
    fn a_password_of_many_readings_that_was_weak_is_still_weak() {
        for (password, score) in [
            // Walks over the keyboard.
            ("!@#$%^&*()1234567890", 1),
            ("0987654321)(*&^%$#@!", 1),
            ("1234567890-=!@#$%^&*()_+", 2),
            // A word five times, with symbols in place of letters.
            ("{|!pp3r1{|!pp3r1{|!pp3r1{|!pp3r1{|!pp3r1", 2),
            ("m0un7@|1m0un7@|1m0un7@|1m0un7@|1m0un7@|1", 2),
        ] {
            assert!(!replacements_for_words(password).is_empty(), "{password}");
            assert_eq!(unbounded_score_of(password), score, "{password}");
            assert!(score_of(password, &[]) <= score, "{password}");
        }
    }

    #[test]
    fn a_password_of_many_readings_that_was_strong_is_still_strong() {
        for password in [
            "({[<369!1|7%205$+24@8({[<369!1|7%205$+24@8({[<36",
            "1qaz!QAZ2wsx@WSX3edc#EDC4rfv$RFV5tgb%TGB",
            "k9[T1v<4#|@x7Qz!+m2$(8pW{n5&r3L6",
            "staple!(quince)|[0rb1t]<1@g00n>+{7h3}$9",
        ] {
            assert!(!replacements_for_words(password).is_empty(), "{password}");
            assert_eq!(score_of(password, &[]), 4, "{password}");
        }
    }

    #[test]
    fn the_owners_words_are_found_in_every_form_that_is_scored() {
        for word in [
            "quendillatisdalovich",
            "{|!qu1n0z@|1[{|!qu1n0z@|1+7(9",
            "quendilla.marotzke.fembrough.tisdalovich@example.org",
        ] {
            assert_eq!(score_of(word, &[]), 4, "{word}");
            assert_eq!(score_of(word, &[word]), 0, "{word}");
        }
    }

    #[test]
    fn every_password_has_a_form_within_the_bound() {
        let symbols: String = SYMBOLS.chars().cycle().take(SCORED).collect();
        let words = replaced(&symbols, replacements_for_words(&symbols));
        assert_eq!(readings(&words), 8);
        assert!(readings(&replaced(&symbols, SAME_KEY)) <= 2);
    }
}
