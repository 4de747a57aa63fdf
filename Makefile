# A thin front on Meson: `make demo` and `make test` are all that a newcomer needs.
BUILD ?= build
SETUP ?=

.PHONY: demo test quick bench soak format clean build

demo: build
	tools/demo $(BUILD)

test: build
	tools/run-tests $(BUILD)

# The unit tests alone, in seconds.
quick: build
	tools/run-tests $(BUILD) --suite unit

bench: build
	bench/run $(BUILD)

# What takes long: hundreds of killed runs, long random tests.
soak: build
	tools/run-tests $(BUILD) --setup soak --suite soak

build:
	tools/deps
	test -f $(BUILD)/build.ninja || meson setup $(BUILD) $(SETUP)
	ninja -C $(BUILD)

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf $(BUILD)
