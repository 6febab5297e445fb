//! Where changed blocks and disk images come from
