//! Personal data and secrets at rest.
