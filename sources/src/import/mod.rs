//! Public data sets.
