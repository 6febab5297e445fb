//! XFS: owners of blocks, names of inodes
