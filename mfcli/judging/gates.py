"""Gates: bounds for cron and CI, which a run must keep to be used."""

from collections.abc import Mapping

from mfcli.config.evaluate import EvaluateConfig
from mfcli.errors import UsageError
from mfcli.judging.results import Comparison, Gate
from mfcli.judging.sums import Sums, rises


def gates(
    config: EvaluateConfig, sums: Sums, baselines: Mapping[str, float], comparison: Comparison | None
) -> list[Gate]:
    """Every gate that is set. Raises UsageError for one on a measure that the run does not have.

    Args:
        config: the bounds.
        sums: of the run.
        baselines: what predicts ratings more simply -> its RMSE; none of clicks.
        comparison: with the run of ``config.no_worse_than``.
    """
    if sums.totals.keys().isdisjoint(("RMSE", "MAE")):
        for name in ("max_rmse", "max_mae", "better_than_biases"):
            option = config.option(name)
            if getattr(config, name) != option.default:
                raise UsageError(f"{option.flag}: run '{config.one_run}' learnt from clicks, and predicts no ratings")
    bounds = {"--max-rmse": ("RMSE", config.max_rmse), "--max-mae": ("MAE", config.max_mae)}
    if config.min_ndcg is not None:
        bounds["--min-ndcg"] = (f"NDCG@{config.top[0]}", config.min_ndcg)
    found = [
        _gate(f"{option} {bound:g}", measure, sums.value(measure), bound)
        for option, (measure, bound) in bounds.items()
        if bound is not None
    ]
    if config.better_than_biases:
        best, rmse = min(baselines.items(), key=lambda one: one[1])
        found.append(_gate(f"that of {best} ({rmse:.4f})", "RMSE", sums.value("RMSE"), rmse, below=True))
    if config.no_worse_than is not None:
        assert comparison is not None, "evaluate compares with the run that a gate names"
        found.append(no_worse(comparison, config.tolerance))
    return found


def no_worse(comparison: Comparison, tolerance: float) -> Gate:
    """Whether a run is worse than the other by no more than the tolerance: by RMSE, of clicks by the first NDCG."""
    one = next(one for one in comparison.differences if one.measure == "RMSE" or one.measure.startswith("NDCG"))
    bound = one.against - tolerance if rises(one.measure) else one.against + tolerance
    bound_of = f"that of {comparison.against} ({one.against:.4f}) and --tolerance {tolerance:g}"
    return _gate(bound_of, one.measure, one.run, bound)


def _gate(bound_of: str, measure: str, value: float, bound: float, *, below: bool = False) -> Gate:
    """A gate that the bound itself passes, unless the value is to be ``below`` it."""
    beyond = bound - value if rises(measure) else value - bound
    return Gate(bound_of, measure, value, bound, beyond < 0 or (beyond == 0 and not below), max(0.0, beyond))


def failure(gate: Gate, part: str) -> str:
    """What to say of a gate that is not met."""
    side = "below" if rises(gate.measure) else "above"
    return f"{gate.measure} {gate.value:.4f} on {part} is {side} {gate.bound_of}, by {gate.excess:.2g}"
