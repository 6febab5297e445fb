//! NTFS: owners of clusters, names of file records
