#!/bin/sh
# fuzz-rustc.sh RUSTC ARGUMENT…
# The compiler as cargo calls it for scripts/fuzz.sh (RUSTC_WRAPPER): instruments for libFuzzer what
# is to be explored, and leaves the hundreds of other crates, and the targets themselves, alone. -C
# options only, so that the stable toolchain of the project will do.
case "${CARGO_PKG_NAME-} ${CARGO_CRATE_NAME-}" in
"sipwarden sipwarden" | "yaml_serde yaml_serde" | "libyaml-rs libyaml_rs")
  exec "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
  ;;
*) exec "$@" ;;
esac
