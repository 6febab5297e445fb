//! Test readers, fixtures and the conformance suite that every filesystem plugin passes
