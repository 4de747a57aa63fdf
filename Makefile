# A thin front on Meson: `make demo` and `make test` are all that a newcomer needs.
BUILD ?= build
SETUP ?=
# Where `make install` puts it; /usr for packages. DESTDIR=DIR puts everything below DIR and touches nothing else.
PREFIX ?= /usr/local

.PHONY: demo demo-rollout test quick bench soak format clean build install uninstall

demo: build
	tools/demo $(BUILD)

test: build
	tools/run-tests $(BUILD)

# The unit tests alone, in seconds.
quick: build
	tools/run-tests $(BUILD) --suite unit

# A promotion's way into production and back, under a systemd of its own; needs root for that.
demo-rollout: build
	tools/demo-rollout $(BUILD)

bench:
	tools/deps
	-tools/deps bench
	tools/bench $(BUILD)

# What takes long: CONTRIBUTING.md has the table. DREAM_SOAK tells tests to take all instead of a sample.
soak: build
	DREAM_SOAK=1 KILLS=$${KILLS:-200} FAULTS=$${FAULTS:-all} SEED=$${SEED:-1} ROUNDS=$${ROUNDS:-10000} \
		tools/run-tests $(BUILD) --timeout-multiplier 20 run-crash run-faults coverage loadgen-wer quiesce \
		call-off real-experiment processes learning worker-matrix units-e2e daemon judge-rates rollout-figures \
		helper-kills helper-hostile \
		rollout-machine-walk rollout-machine-winners production-crash production-kill kills kills-store adopt-kill story daemon-rollouts \
		daemon-policy real-rollout

install: build
	meson configure $(BUILD) --prefix $(PREFIX)
	meson install -C $(BUILD)
	tools/install-done install

# Files only: what was measured, decided and configured stays, and is named.
uninstall:
	tools/uninstall --look $(BUILD)
	tools/install-done before-uninstall
	tools/uninstall $(BUILD)
	tools/install-done uninstall

build:
	tools/deps
	test -f $(BUILD)/build.ninja || meson setup $(BUILD) $(SETUP)
	ninja -C $(BUILD)

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf $(BUILD) $(BUILD)-bench
