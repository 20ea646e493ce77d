# What a developer runs; .ci/run runs the same steps on a clean clone.
.PHONY: fmt lint test doc deny docs compare fuzz instructions containers ci

fmt:            ## format the sources
	cargo fmt

lint:           ## clippy, warnings are errors
	cargo clippy --locked --all-targets -- -D warnings

test:           ## every test, with what they need (root on Debian installs it)
	./scripts/test.sh

doc:            ## the API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

docs:           ## print docs/configuration.md, metrics.md, spans.md and the dashboards from the code again
	BLESS=1 cargo test --locked --test config --test vocabulary -- the_manual_is_printed the_generated_pages
	BLESS=1 cargo test --locked --test dashboards -- the_files_are_what_the_code_makes

deny:           ## licences and sources of dependencies (cargo install --locked cargo-deny)
	cargo deny --locked --offline check licenses bans sources

compare:        ## against Kamailio, under load (root, two cores; ARGS="--loads quick"; benches/compare/README.md)
	cargo build --release --locked
	cargo run --release --locked --manifest-path benches/compare/Cargo.toml -- run $(ARGS)

fuzz:           ## each fuzz target for a minute
	./scripts/fuzz.sh 60

instructions:   ## instructions of a call against the baseline (valgrind; ARGS=--bless writes it)
	./scripts/instructions.sh $(ARGS)

containers:     ## the Compose tour with real containers (root on Debian: podman, docker-compose)
	cargo build --release --locked
	tests/containers/run.sh

ci:             ## all that CI runs
	.ci/run
