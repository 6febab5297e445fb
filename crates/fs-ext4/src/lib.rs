//! ext2, ext3 and ext4: owners of blocks, names of inodes
