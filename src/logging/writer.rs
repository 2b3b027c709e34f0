//! The writer of log lines to standard error: if the log cannot be written, only lines are lost.
//!
//! Logging puts a line into a buffer in memory and never waits. One thread writes the buffer. While it cannot, because
//! the disk is full or the reader of a pipe has stopped or ended, lines that do not fit into the buffer are lost and
//! counted.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait to be written: some twenty thousand lines, which is more than a burst and little memory.
const MOST_WAITING: usize = 4 * 1024 * 1024;

/// How often in a row a descriptor that does not block may refuse bytes before they are lost. With [`AFTER_REFUSAL`] that
/// is a second.
const MOST_REFUSALS: u32 = 100;

/// The pause after a refusal.
const AFTER_REFUSAL: Duration = Duration::from_millis(10);

/// The shortest time between two reports of lost and suppressed lines.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Takes lines and never fails. Clones share one buffer.
#[derive(Clone, Default)]
pub(crate) struct LogWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Whether the thread is writing bytes that it has taken out of the buffer.
    is_writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes to `sink`. It calls `report` about every [`REPORT_EVERY`] with the number of lines that
    /// were lost since the last call, but not while writing fails.
    ///
    /// # Errors
    /// The operating system starts no thread.
    pub(super) fn start(
        sink: impl Write + Send + 'static,
        report: impl FnMut(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let writer = Self::default();
        let worker = Worker {
            shared: Arc::clone(&writer.0),
            sink,
            is_line_torn: false,
            report,
            reported: 0,
            reported_at: None,
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(|| worker.run())?;
        Ok(writer)
    }

    /// How many lines were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until every line is written, at most for `most`.
    pub(crate) fn flush(&self, most: Duration) {
        let waiting = self.0.lock();
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.bytes.is_empty();
        drop(self.0.changed.wait_timeout_while(waiting, most, is_busy));
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.0.lock();
        if waiting.bytes.len() + line.len() > MOST_WAITING {
            drop(waiting);
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if was_empty {
            self.0.changed.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for &LogWriter {
    /// Takes one or several whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.put(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// What the thread owns.
struct Worker<W, R> {
    shared: Arc<Shared>,
    sink: W,
    /// Whether the last line was written only in part.
    is_line_torn: bool,
    report: R,
    /// How many lost lines were reported so far.
    reported: u64,
    reported_at: Option<Instant>,
}

impl<W: Write, R: FnMut(u64)> Worker<W, R> {
    fn run(mut self) {
        // Two buffers are swapped, so that no line needs an allocation.
        let mut lines = Vec::new();
        loop {
            self.take(&mut lines);
            let written = self.write(&lines);
            let is_complete = written == lines.len();
            let missing = count_lines(&lines[written..]);
            self.shared.lost.fetch_add(missing, Ordering::Relaxed);
            self.shared.lock().is_writing = false;
            self.shared.changed.notify_all();
            lines.clear();
            lines.shrink_to(MOST_WAITING / 64);
            if is_complete
                && self
                    .reported_at
                    .is_none_or(|at| at.elapsed() >= REPORT_EVERY)
            {
                self.reported_at = Some(Instant::now());
                let lost = self.shared.lost.load(Ordering::Relaxed);
                (self.report)(lost - self.reported);
                self.reported = lost;
            }
        }
    }

    /// Swaps `lines`, which is empty, with the buffer. Waits for a line at most for [`REPORT_EVERY`]; then `lines` stays
    /// empty.
    fn take(&mut self, lines: &mut Vec<u8>) {
        let waiting = self.shared.lock();
        let is_empty = |waiting: &mut Waiting| waiting.bytes.is_empty();
        let (mut waiting, _) = self
            .shared
            .changed
            .wait_timeout_while(waiting, REPORT_EVERY, is_empty)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.bytes, lines);
        waiting.is_writing = true;
    }

    /// Writes as much of `lines` as the sink takes, and returns how many bytes that were.
    fn write(&mut self, lines: &[u8]) -> usize {
        if lines.is_empty() {
            return 0;
        }
        if self.is_line_torn && self.write_all(b"\n") != 1 {
            return 0;
        }
        let written = self.write_all(lines);
        self.is_line_torn = match written {
            0 => false,
            written => lines[written - 1] != b'\n',
        };
        written
    }

    fn write_all(&mut self, bytes: &[u8]) -> usize {
        let (mut written, mut refusals) = (0, 0);
        while written < bytes.len() {
            match self.sink.write(&bytes[written..]) {
                Ok(0) => break,
                Ok(more) => {
                    written += more;
                    refusals = 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another program may have set the pipe that it shares with this one not to block.
                Err(error) if error.kind() == ErrorKind::WouldBlock && refusals < MOST_REFUSALS => {
                    refusals += 1;
                    std::thread::sleep(AFTER_REFUSAL);
                }
                Err(_) => break,
            }
        }
        written
    }
}

fn count_lines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A sink with a given outcome for each of the first calls, which accepts everything afterwards.
    struct Sink {
        outcomes: mpsc::Receiver<io::Result<usize>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = match self.outcomes.recv() {
                Ok(outcome) => outcome?.min(bytes.len()),
                Err(_) => bytes.len(),
            };
            self.taken
                .lock()
                .unwrap()
                .extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Bench {
        log: LogWriter,
        outcomes: mpsc::Sender<io::Result<usize>>,
        taken: Arc<Mutex<Vec<u8>>>,
        reports: mpsc::Receiver<u64>,
    }

    fn bench() -> Bench {
        let (outcomes, results) = mpsc::channel();
        let (report, reports) = mpsc::channel();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let sink = Sink {
            outcomes: results,
            taken: Arc::clone(&taken),
        };
        let log = LogWriter::start(sink, move |lost| {
            let _ = report.send(lost);
        });
        Bench {
            log: log.unwrap(),
            outcomes,
            taken,
            reports,
        }
    }

    fn lines_of(taken: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(taken.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_sink_that_takes_nothing_delays_no_caller_and_bounds_the_memory() {
        let bench = bench();
        let line = [b'x'; 1023]
            .iter()
            .chain(b"\n")
            .copied()
            .collect::<Vec<_>>();
        // The first call of the sink does not return before the senders are dropped below.
        let lines = 3 * (MOST_WAITING / line.len()) as u64;
        for _ in 0..lines {
            (&bench.log).write_all(&line).unwrap();
        }
        let lost = bench.log.lost();
        assert!(lost >= lines / 3, "{lost} of {lines}");
        assert!(bench.log.0.lock().bytes.len() <= MOST_WAITING);
        drop(bench.outcomes);
        bench.log.flush(PATIENCE);
        let taken = bench.taken.lock().unwrap().len() / line.len();
        assert_eq!(taken as u64 + lost, lines);
        let mut reported = 0;
        while reported < lost {
            (&bench.log).write_all(b"more\n").unwrap();
            reported += bench.reports.recv_timeout(PATIENCE).unwrap();
        }
        assert_eq!(reported, lost);
    }

    #[test]
    fn a_line_that_was_torn_is_ended_before_the_next_one() {
        let bench = bench();
        bench.outcomes.send(Ok(4)).unwrap();
        let full = || Err(ErrorKind::StorageFull.into());
        bench.outcomes.send(full()).unwrap();
        (&bench.log).write_all(b"first line\n").unwrap();
        bench.log.flush(PATIENCE);
        bench.outcomes.send(full()).unwrap();
        (&bench.log).write_all(b"second line\n").unwrap();
        bench.log.flush(PATIENCE);
        assert_eq!(bench.log.lost(), 2);
        drop(bench.outcomes);
        (&bench.log).write_all(b"third line\n").unwrap();
        bench.log.flush(PATIENCE);
        assert_eq!(lines_of(&bench.taken), "firs\nthird line\n");
    }

    #[test]
    fn a_descriptor_that_does_not_block_is_tried_again() {
        let bench = bench();
        for _ in 0..3 {
            let refused = Err(ErrorKind::WouldBlock.into());
            bench.outcomes.send(refused).unwrap();
        }
        drop(bench.outcomes);
        (&bench.log).write_all(b"a line\n").unwrap();
        bench.log.flush(PATIENCE);
        assert_eq!(lines_of(&bench.taken), "a line\n");
        assert_eq!(bench.log.lost(), 0);
    }
}
