//! The commands. (Stub.)
