//! What is said of very many things, each word once: there are some dozens of them.

/// Words by a short number.
#[derive(Debug)]
pub(super) struct Words<T>(Vec<T>);

impl<T> Default for Words<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Words<T> {
    /// The number of no word.
    pub(super) const NONE: u16 = u16::MAX;

    /// The number of `word`, which may be new; `None` when there are more words than are numbered.
    pub(super) fn number(&mut self, word: T) -> Option<u16> {
        // Most things are like one of the first.
        let known = self.0.iter().position(|known| *known == word);
        let number = u16::try_from(known.unwrap_or(self.0.len())).ok();
        let number = number.filter(|number| *number != Self::NONE)?;
        if known.is_none() {
            self.0.push(word);
        }
        Some(number)
    }

    pub(super) fn get(&self, number: u16) -> Option<&T> {
        self.0.get(usize::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_number_and_there_is_an_end_to_them() {
        let mut words = Words::default();
        let all = || (0..u32::from(u16::MAX)).rev();
        // The last ones are looked for behind all others: not each of them.
        for word in all() {
            let number = match words.0.len() < 100 {
                true => words.number(word),
                false => {
                    words.0.push(word);
                    u16::try_from(words.0.len() - 1).ok()
                }
            };
            assert_eq!(words.get(number.unwrap()), Some(&word));
        }
        assert_eq!(words.number(7), Some(u16::MAX - 8));
        assert_eq!(words.number(u32::MAX), None);
        assert_eq!(words.get(Words::<u32>::NONE), None);
    }
}
