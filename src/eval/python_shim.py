"""Runs a user's Python evaluator for dream: one request in, one result out (docs/evaluator.md).

The user's own prints, and those of the programs it starts, go to standard error: standard output
belongs to the protocol.
"""
import asyncio
import importlib.util
import inspect
import json
import math
import os
import sys
import time
import traceback

OUT = os.fdopen(os.dup(1), "w", encoding="ascii")
os.dup2(2, 1)


def load(orders):
    path = orders["path"]
    sys.path[0] = os.path.dirname(path)
    spec = importlib.util.spec_from_file_location("dream_evaluator", path)
    if spec is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["dream_evaluator"] = module
    spec.loader.exec_module(module)
    if not orders["class"]:
        return module.evaluate
    thing = module
    for name in orders["class"].split("."):
        thing = getattr(thing, name)
    return thing(**orders["init_kwargs"]).evaluate


def takes_context(evaluate):
    """evaluate(params) or evaluate(params, context): as many positional arguments as it has."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(evaluate).parameters.values()
    except (TypeError, ValueError):
        return False
    return sum(p.kind in kinds for p in parameters) >= 2


def context(request):
    return {
        "experiment": request["experiment"],
        "generation": request["generation"],
        "budget": {
            "wallclock_sec": request["budget"]["timeout_ms"] / 1000,
            "allow_gpu": request["gpu"] is not None,
        },
        "run": request["spica_id"],
        "timestamp": time.time(),
        "request": request,
    }


def plain(value):
    """numpy and torch scalars know their Python number."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a {type(value).__name__} is not a value that a result can hold")


def not_finite(value, name=""):
    """Where a number is not one, as "metrics.stt_latency_ms is nan"."""
    if hasattr(value, "item") and not isinstance(value, (dict, list, tuple)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} is {value}"
    members = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, member in members:
        found = not_finite(member, f"{name}.{key}" if name else str(key))
        if found:
            return found
    return None


def failure(status, reason, **evidence):
    return {"status": status, "reason": reason, "evidence": evidence}


def checked(result):
    if not isinstance(result, dict):
        return failure("measure_failed",
                       f"evaluate() returned a {type(result).__name__}, not a dict of results")
    found = not_finite(result)
    if found:
        return failure("measure_failed", f"evaluate() returned no number: {found}")
    return result


def raised(error):
    """Out of memory is a result of the candidate, everything else a fault of the evaluator."""
    name = type(error).__name__
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    sys.stderr.write(text)
    oom = isinstance(error, MemoryError) or name == "OutOfMemoryError" \
        or "CUDA out of memory" in str(error)
    said = f"{name}: {error}" if str(error) else name
    where = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != "<string>"]
    at = f" (line {where[-1].lineno} of {os.path.basename(where[-1].filename)})" if where else ""
    return failure("oom" if oom else "measure_failed", f"the evaluator raised {said[:600]}{at}",
                   traceback=text[-4000:])


def main():
    request = json.loads(sys.stdin.readline())
    try:
        evaluate = load(request.pop("evaluator"))
        params = request["params"]
        result = evaluate(params, context(request)) if takes_context(evaluate) else evaluate(params)
        if inspect.isawaitable(result):
            result = asyncio.run(wait(result))
        result = checked(result)
    except BaseException as error:  # SystemExit too: sys.exit() is no result
        result = raised(error)
    try:
        line = json.dumps({"result": result}, allow_nan=False, default=plain)
    except (TypeError, ValueError) as error:
        line = json.dumps({"result": failure(
            "measure_failed", f"evaluate() returned what JSON cannot hold: {error}")})
    OUT.write(line + "\n")
    OUT.close()


async def wait(awaitable):
    return await awaitable


main()
