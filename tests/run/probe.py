"""An evaluator class for tests, in the form of the first version's: its latency follows from parameter `a`, with a noise
that follows from the seed."""


class Probe:
    def evaluate(self, candidate, context):
        return {"latency_ms": candidate["a"] * 10 + context["request"]["seed"] % 10 / 10}
