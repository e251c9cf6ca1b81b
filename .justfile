# What one can do here. `just` alone lists it.

_default:
    @just --list --unsorted

# Three nodes and recorders that miss things, in a temporary directory
demo:
    cargo run --release -- demo

# The daemon on the small archive that ships with the repository
node:
    cargo run --release -- node --base-dir tests/archive

# Everything that must hold before a change goes in
test:
    scripts/test

# Compare the index of the small archive with its tree
check:
    cargo run --release -- rebuild --check --base-dir tests/archive

# Format and lints only
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# Rewrite docs/configuration.md from the settings, and docs/logs.md from the events in the source
reference:
    UPDATE_DOCS=1 cargo test --lib reference

# A Debian package and a static program, in target/package
package:
    scripts/package/build
