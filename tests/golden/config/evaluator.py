def evaluate(candidate):
    return {"status": "pass"}
