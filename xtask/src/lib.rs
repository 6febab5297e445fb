//! Development tasks: ci, tidy, fixtures, oracle, bench, corpus
