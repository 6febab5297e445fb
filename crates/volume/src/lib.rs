//! Partition tables and volume managers
