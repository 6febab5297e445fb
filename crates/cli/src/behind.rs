//! Writing behind: a thread writes what is ready while the next of it is made.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// A writer on a thread of its own, or on this one where none can be had.
pub(crate) enum Behind {
    /// On its own.
    Thread {
        /// `None` once all is handed over.
        parts: Option<SyncSender<Vec<u8>>>,
        /// `None` once its result is known.
        thread: Option<JoinHandle<io::Result<()>>>,
    },
    /// On this one.
    Here(Box<dyn Write + Send>),
}

impl Behind {
    /// Writes to what `open` gives. So many parts may wait, which are all in memory then.
    pub(crate) fn new(
        waiting: usize,
        open: impl Fn() -> Box<dyn Write + Send> + Copy + Send + 'static,
    ) -> Self {
        let (parts, ready) = sync_channel::<Vec<u8>>(waiting);
        let write = move || {
            let mut out = open();
            ready.iter().try_for_each(|part| out.write_all(&part))?;
            out.flush()
        };
        match Builder::new().name("output".to_owned()).spawn(write) {
            Ok(thread) => Self::Thread {
                parts: Some(parts),
                thread: Some(thread),
            },
            Err(_) => Self::Here(open()),
        }
    }

    /// Has `part` written.
    ///
    /// # Errors
    /// That of this part or of one before it.
    pub(crate) fn hand(&mut self, part: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Here(out) => out.write_all(&part),
            Self::Thread { parts, .. } => {
                let sent = parts.as_ref().is_some_and(|parts| parts.send(part).is_ok());
                // A thread that takes no more has met an error.
                if sent { Ok(()) } else { self.end() }
            }
        }
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// The first that was met.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Here(out) => out.flush(),
            Self::Thread { parts, thread } => {
                *parts = None;
                let ended = thread.take().map(JoinHandle::join);
                let ended = ended.unwrap_or_else(|| Ok(Err(closed())));
                ended.unwrap_or_else(|_| Err(closed()))
            }
        }
    }
}

fn closed() -> io::Error {
    io::Error::other("the thread that writes has ended")
}

impl Drop for Behind {
    /// What was handed over is written, also where an error ends the run.
    fn drop(&mut self) {
        if let Self::Thread { parts, thread } = self {
            *parts = None;
            // Its error was told, or another one is.
            let _ = thread.take().map(JoinHandle::join);
        }
    }
}

/// Each piece is a part by itself: whoever has many small ones puts them together first.
impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hand(bytes.to_vec())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Shelf;

    impl Write for Shelf {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            WRITTEN.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_is_written_in_order() {
        let mut out = Behind::new(2, || Box::new(Shelf));
        let parts = 0..500u32;
        for part in parts.clone() {
            out.hand(part.to_le_bytes().to_vec()).unwrap();
        }
        out.end().unwrap();
        let expected: Vec<u8> = parts.flat_map(u32::to_le_bytes).collect();
        assert_eq!(*WRITTEN.lock().unwrap(), expected);
    }

    #[test]
    fn an_error_is_told_at_a_later_part_or_at_the_end() {
        let mut out = Behind::new(2, || Box::new(Full));
        let told = (0..1000).find_map(|_| out.hand(vec![1]).err());
        assert_eq!(told.unwrap().kind(), io::ErrorKind::StorageFull);
        let mut short = Behind::new(2, || Box::new(Full));
        let handed = short.hand(vec![1]);
        let told = handed.and_then(|()| short.end()).unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::StorageFull);
    }
}
