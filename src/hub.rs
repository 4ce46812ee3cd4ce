//! Builds the rooms, ties them and stops them. (Stub.)
