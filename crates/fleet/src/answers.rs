//! What is said of the pieces of a disk.

use hexz_resolve::report::PathBytes;
use hexz_resolve::{Class, Error, Result};

/// What is said of many pieces: whose they are, and what they are to their owner.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'m> {
    /// Index into [`DiskMap::volumes`](crate::DiskMap::volumes); `None` outside every volume.
    pub volume: Option<usize>,
    /// The class of the bytes.
    pub class: Class,
    answers: &'m Answers,
    /// The numbers of its paths.
    paths: (u32, u32),
}

impl<'m> Answer<'m> {
    /// The first name of each file that owns the bytes and has one.
    pub fn paths(&self) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        let answers = self.answers;
        let (from, to) = self.paths;
        (from..to).map(|path| answers.path(path))
    }

    /// The first name of the first file that owns the bytes.
    #[must_use]
    pub fn path(&self) -> Option<&'m [u8]> {
        self.paths().next()
    }
}

/// An answer before it has a number.
#[derive(Debug, Hash)]
pub(crate) struct NewAnswer {
    pub(crate) volume: Option<usize>,
    pub(crate) class: Class,
    pub(crate) paths: Vec<PathBytes>,
}

impl NewAnswer {
    pub(crate) fn is(&self, answer: &Answer<'_>) -> bool {
        (self.volume, self.class) == (answer.volume, answer.class)
            && self.paths.iter().map(Vec::as_slice).eq(answer.paths())
    }
}

/// Answers, with all their paths in one text: there are millions of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    records: Vec<Record>,
    /// Where each path ends in the text.
    ends: Vec<usize>,
    text: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Record {
    volume: Option<u32>,
    class: Class,
    /// Its paths are those up to this one, from where those of the record before end.
    paths: u32,
}

impl Answers {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds an answer, whose number is how many there were before.
    pub(crate) fn push(&mut self, answer: &NewAnswer) -> Result<()> {
        let number = |count: usize| u32::try_from(count).map_err(|_| too_many());
        let paths = number(self.ends.len() + answer.paths.len())?;
        let volume = answer.volume.map(number).transpose()?;
        for path in &answer.paths {
            self.text.extend_from_slice(path);
            self.ends.push(self.text.len());
        }
        self.records.push(Record {
            volume,
            class: answer.class,
            paths,
        });
        Ok(())
    }

    pub(crate) fn get(&self, number: usize) -> Option<Answer<'_>> {
        let record = self.records.get(number)?;
        let before = number.checked_sub(1).and_then(|n| self.records.get(n));
        Some(Answer {
            volume: record.volume.map(|volume| volume as usize),
            class: record.class,
            answers: self,
            paths: (before.map_or(0, |before| before.paths), record.paths),
        })
    }

    fn path(&self, number: u32) -> &[u8] {
        let end = |path: u32| self.ends.get(path as usize).copied().unwrap_or_default();
        let from = number.checked_sub(1).map_or(0, end);
        self.text.get(from..end(number)).unwrap_or_default()
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        self.records.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.text.shrink_to_fit();
    }
}

pub(crate) fn too_many() -> Error {
    Error::limit("map", "more than 2^31 pieces or paths")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_own_paths() {
        let answer = |volume, paths: &[&str]| NewAnswer {
            volume,
            class: Class::FileData,
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
        };
        let all = [
            answer(None, &[]),
            answer(Some(0), &["/a", "", "/bc"]),
            answer(Some(1), &[]),
            answer(Some(1), &["/d"]),
        ];
        let mut answers = Answers::default();
        all.iter().for_each(|answer| answers.push(answer).unwrap());
        assert_eq!(answers.len(), all.len());
        assert!(answers.get(all.len()).is_none());
        for (n, new) in all.iter().enumerate() {
            let got = answers.get(n).unwrap();
            assert!(new.is(&got), "{new:?} {got:?}");
            assert_eq!(got.path(), new.paths.first().map(Vec::as_slice));
            let same = (0..all.len()).filter(|other| new.is(&answers.get(*other).unwrap()));
            assert_eq!(same.count(), 1);
        }
    }
}
