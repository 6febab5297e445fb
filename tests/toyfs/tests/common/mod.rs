//! Makes toyfs images. Written from the specification alone: uses nothing of the plugin.

pub(crate) const BLOCK: usize = 512;
const BLOCKS: u32 = 5000;
const INODES: u32 = 256;
const BITMAP: u32 = 1;
const TABLE: u32 = 3;
const FIRST: u32 = TABLE + INODES / 8;

/// An image that files are put into, one after the other.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) image: Vec<u8>,
    next: u32,
}

impl Maker {
    /// An empty filesystem with a root directory of one block.
    pub(crate) fn new() -> Self {
        let mut maker = Self {
            image: vec![0; BLOCKS as usize * BLOCK],
            next: FIRST,
        };
        maker.put(0, b"toyfs\r\n\x1a");
        for (at, value) in [
            (8, 1),
            (12, BLOCKS),
            (16, INODES),
            (20, BITMAP),
            (24, TABLE),
        ] {
            maker.put(at, &u32::to_le_bytes(value));
        }
        maker.put(32, &1_700_000_000u64.to_le_bytes());
        maker.put(40, b"toy box");
        for block in 0..FIRST {
            maker.mark(block, true);
        }
        maker.inode(1, 0o040_755, &[0; BLOCK]);
        maker
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.image[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn mark(&mut self, block: u32, used: bool) {
        let at = BITMAP as usize * BLOCK + block as usize / 8;
        let bit = 1 << (block % 8);
        self.image[at] = self.image[at] & !bit | if used { bit } else { 0 };
    }

    /// Where the record of `number` lies.
    pub(crate) fn record(number: u32) -> usize {
        TABLE as usize * BLOCK + (number as usize - 1) * 64
    }

    /// Writes inode `number` with its content in the next free blocks, which are given back.
    pub(crate) fn inode(&mut self, number: u32, mode: u16, content: &[u8]) -> usize {
        let count = content.len().div_ceil(BLOCK) as u32;
        let start = self.next as usize * BLOCK;
        let at = Self::record(number);
        self.put(at, &mode.to_le_bytes());
        self.put(at + 2, &1u16.to_le_bytes());
        self.put(at + 4, &(number + 7).to_le_bytes());
        self.put(at + 8, &(content.len() as u32).to_le_bytes());
        self.put(at + 12, &self.next.to_le_bytes());
        self.put(at + 16, &count.to_le_bytes());
        self.put(at + 20, &1000u32.to_le_bytes());
        self.put(at + 24, &1_700_000_000u64.to_le_bytes());
        self.put(start, content);
        for block in self.next..self.next + count {
            self.mark(block, true);
        }
        self.next += count;
        start
    }

    /// Where the content of inode `number` lies.
    #[allow(dead_code)] // Not every test needs it.
    pub(crate) fn content(&self, number: u32) -> usize {
        let at = Self::record(number) + 12;
        let first = self.image[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(first) as usize * BLOCK
    }

    /// Names `child` in slot `slot` of the directory whose content is at `directory`.
    pub(crate) fn entry(&mut self, directory: usize, slot: usize, child: u32, name: &str) {
        let at = directory + slot * 64;
        self.put(at, &[0; 64]);
        self.put(at, &child.to_le_bytes());
        self.put(at + 4, name.as_bytes());
    }

    /// Where the root directory's content lies.
    pub(crate) const ROOT: usize = FIRST as usize * BLOCK;

    /// A filesystem with some of everything: files of no, one and several blocks, directories in
    /// directories, a file with two names.
    pub(crate) fn sample() -> Self {
        let mut maker = Self::new();
        maker.inode(2, 0o100_644, b"hello, world\n");
        maker.entry(Self::ROOT, 0, 2, "hello.txt");
        let docs = maker.inode(3, 0o040_700, &[0; 2 * BLOCK]);
        maker.entry(Self::ROOT, 1, 3, "docs");
        maker.inode(4, 0o100_600, &text(20_000));
        maker.entry(docs, 0, 4, "guide");
        maker.entry(docs, 9, 4, "manual");
        maker.put(Self::record(4) + 2, &2u16.to_le_bytes());
        maker.inode(5, 0o100_644, b"");
        maker.entry(Self::ROOT, 3, 5, "empty");
        let deep = maker.inode(200, 0o040_755, &[0; BLOCK]);
        maker.entry(docs, 10, 200, "deep");
        for n in 0..5 {
            maker.inode(201 + n, 0o100_644, &text(700 * n as usize));
            maker.entry(deep, n as usize, 201 + n, &format!("part {n}"));
        }
        maker
    }
}

/// Some text.
pub(crate) fn text(length: usize) -> Vec<u8> {
    b"All work and no play. "
        .iter()
        .copied()
        .cycle()
        .take(length)
        .collect()
}
