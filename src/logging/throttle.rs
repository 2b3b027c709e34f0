//! Throttling of repeated warnings and errors: a fault that every request meets must not fill the disk with its lines.
//!
//! A place in the code that logs warnings or errors may log the same content once per [`WINDOW`], and at most
//! [`MOST_DIFFERENT`] lines of different content. Suppressed lines are counted, and reported in a line of their own.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The time within which lines of the same content count as repeated.
const WINDOW: Duration = Duration::from_secs(5);

/// How many lines of different content one place may log within [`WINDOW`].
const MOST_DIFFERENT: usize = 10;

/// How much of a message is kept for the report, in characters.
const KEPT_OF_MESSAGE: usize = 120;

/// Lets warnings and errors pass, but not the same ones over and over. Clones share what they have seen. Memory is bounded
/// by the number of places in the code.
#[derive(Clone, Default)]
pub(super) struct Throttle(Arc<Mutex<HashMap<Identifier, Place>>>);

/// What one place in the code has logged within the window.
struct Place {
    since: Instant,
    /// The hashes of the lines that passed.
    passed: Vec<u64>,
    suppressed: u64,
    target: &'static str,
    message: String,
}

/// The suppressed lines of one place: their number, and the message of the last one.
#[derive(Debug, PartialEq, Eq)]
struct Suppressed {
    lines: u64,
    target: &'static str,
    message: String,
}

impl Throttle {
    fn lets_pass(
        &self,
        metadata: &'static Metadata<'static>,
        content: Content,
        now: Instant,
    ) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(metadata.callsite()).or_insert_with(|| Place {
            since: now,
            passed: Vec::with_capacity(1),
            suppressed: 0,
            target: metadata.target(),
            message: String::new(),
        });
        // Suppressed lines are reported before a new window begins.
        if now.duration_since(place.since) >= WINDOW && place.suppressed == 0 {
            place.since = now;
            place.passed.clear();
        }
        let hash = content.hasher.finish();
        if place.passed.contains(&hash) || place.passed.len() == MOST_DIFFERENT {
            place.suppressed += 1;
            place.message = content.message;
            return false;
        }
        place.passed.push(hash);
        true
    }

    /// The suppressed lines of every window that is over. It returns each only once.
    fn take_suppressed(&self, now: Instant) -> Vec<Suppressed> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = places
            .values_mut()
            .filter(|place| place.suppressed > 0 && now.duration_since(place.since) >= WINDOW);
        over.map(|place| {
            place.since = now;
            place.passed.clear();
            Suppressed {
                lines: std::mem::take(&mut place.suppressed),
                target: place.target,
                message: std::mem::take(&mut place.message),
            }
        })
        .collect()
    }

    /// Logs how many lines were suppressed. It must not be called while an event is logged, because both need the lock.
    pub(super) fn report(&self) {
        for Suppressed {
            lines,
            target,
            message,
        } in self.take_suppressed(Instant::now())
        {
            tracing::warn!(
                lines,
                source = target,
                message_of_lines = message,
                "repeated log lines were suppressed"
            );
        }
    }
}

impl<S: Subscriber> Layer<S> for Throttle {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let is_own = metadata.target() == module_path!();
        if *metadata.level() > Level::WARN || is_own {
            return true;
        }
        let mut content = Content::default();
        event.record(&mut content);
        self.lets_pass(metadata, content, Instant::now())
    }
}

/// The content of a line: a hash of all its fields, and the beginning of its message.
#[derive(Default)]
struct Content {
    hasher: DefaultHasher,
    message: String,
}

impl Visit for Content {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        field.name().hash(&mut self.hasher);
        // Writing into a hasher cannot fail.
        let _ = write!(Hashed(&mut self.hasher), "{value:?}");
        if field.name() == "message" {
            self.message = format!("{value:?}").chars().take(KEPT_OF_MESSAGE).collect();
        }
    }
}

/// Writes text into a hasher.
struct Hashed<'a>(&'a mut DefaultHasher);

impl fmt::Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::writer::LogWriter;
    use super::*;

    /// The lines that pass while `log` logs.
    fn lines_of(throttle: &Throttle, log: impl FnOnce()) -> Vec<String> {
        let (sink, read) = std::io::pipe().map(|(read, write)| (write, read)).unwrap();
        let writer = LogWriter::start(sink.try_clone().unwrap(), |_| {}).unwrap();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(throttle.clone())
            .with(lines);
        with_default(subscriber, log);
        writer.flush(Duration::from_secs(60));
        // The writer's thread keeps its end of the pipe open.
        std::io::Write::write_all(&mut &sink, b"end\n").unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(read));
        lines
            .map(|line| line.unwrap().trim().to_owned())
            .take_while(|line| line != "end")
            .collect()
    }

    fn fails(error: &str) {
        tracing::error!(error, "unavailable");
    }

    #[test]
    fn a_repeated_error_is_logged_once_and_a_different_error_too() {
        let throttle = Throttle::default();
        let lines = lines_of(&throttle, || {
            for _ in 0..100 {
                fails("the disk is full");
                fails("the disk is broken");
                tracing::warn!("something else");
            }
        });
        assert_eq!(
            lines,
            [
                r#"ERROR unavailable error="the disk is full""#,
                r#"ERROR unavailable error="the disk is broken""#,
                "WARN something else",
            ]
        );
    }

    #[test]
    fn lines_below_warnings_are_not_throttled() {
        let lines = lines_of(&Throttle::default(), || {
            for _ in 0..100 {
                tracing::info!("answered");
            }
        });
        assert_eq!(lines.len(), 100);
    }

    #[test]
    fn errors_that_are_all_different_are_bounded_too() {
        let throttle = Throttle::default();
        let lines = lines_of(&throttle, || {
            for number in 0..1000 {
                fails(&format!("page {number} is damaged"));
            }
        });
        assert_eq!(lines.len(), MOST_DIFFERENT);
        assert_eq!(throttle.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn suppressed_lines_are_reported_after_their_window_and_the_error_is_logged_again() {
        let throttle = Throttle::default();
        lines_of(&throttle, || {
            for _ in 0..100 {
                fails("the disk is full");
            }
        });
        let now = Instant::now();
        assert_eq!(throttle.take_suppressed(now), []);
        let later = now + WINDOW;
        let expected = Suppressed {
            lines: 99,
            target: module_path!(),
            message: "unavailable".to_owned(),
        };
        assert_eq!(throttle.take_suppressed(later), [expected]);
        assert_eq!(throttle.take_suppressed(later + WINDOW), []);
        // The report has begun a new window, in which the error passes again.
        let lines = lines_of(&throttle, || fails("the disk is full"));
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn the_report_of_suppressed_lines_is_never_suppressed() {
        let throttle = Throttle::default();
        let lines = lines_of(&throttle, || {
            for _ in 0..3 {
                fails("the disk is full");
                fails("the disk is full");
                for place in throttle.0.lock().unwrap().values_mut() {
                    place.since -= WINDOW;
                }
                throttle.report();
            }
        });
        let reports = lines
            .iter()
            .filter(|line| line.starts_with("WARN repeated log lines were suppressed lines=1"));
        assert_eq!(reports.count(), 3, "{lines:?}");
    }
}
