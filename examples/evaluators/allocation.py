"""An evaluator in Python: one class, one method, one dict of numbers.

    evaluator:
      path: allocation.py
      class: Allocation
      init_kwargs: {gpu_mib: 12288}

This one only calculates what is left on the card, so that it runs anywhere. A real one would start
the services with `params`, put load on them, and say `applies: true` in dream.yaml.
"""

WHISPER_MIB = {"tiny": 500, "base": 1000, "small": 1500}


class Allocation:
    def __init__(self, gpu_mib, other_mib=1240):
        self.gpu_mib = gpu_mib
        self.other_mib = other_mib

    def evaluate(self, params, context):
        used = (params["vllm_memory_util"] * self.gpu_mib + self.other_mib
                + WHISPER_MIB[params["whisper_model_size"]])
        print(f"generation {context['generation']}: {used:.0f} MiB of {self.gpu_mib}")  # to stderr
        if used > self.gpu_mib:
            return {"status": "infeasible",
                    "reason": f"{used:.0f} MiB do not fit into {self.gpu_mib}"}
        return {
            "status": "ok",
            "metrics": {"gpu_memory_pct": {"value": 100 * used / self.gpu_mib, "unit": "%"}},
            "evidence": {"used_mib": round(used)},
        }
