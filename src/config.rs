//! Configuration: YAML and environment into settings that cannot be wrong.
