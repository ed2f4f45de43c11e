"""Candidates and paths -> what became of each put."""

import numpy as np
import polars as pl

from wheelvec.kernels.path import ExitRules, Underlying
from wheelvec.spec.codes import FillMode
from wheelvec.spec.config import Config
from wheelvec.stages.arrays import Paths, walked


def put_rules(config: Config) -> ExitRules:
    """How the configuration ends a put."""
    put, v5 = config.put, config.rules == "v5"
    return ExitRules(
        is_call=False,
        exit_pct=put.exit_pct,
        stop_multiplier=np.nan if put.stop_loss_multiplier is None else put.stop_loss_multiplier,
        max_hold_dte=-1 if put.max_hold_dte is None else put.max_hold_dte,
        mode=int(FillMode[config.fills.fill_mode.upper()]),
        trigger=config.exit_model == "trigger",
        probabilistic=config.fills.use_probabilistic_exit_fills,
        missing_close_is_worthless=v5,
        called_away_at_strike=v5,
    )


def put_legs(candidates: pl.DataFrame, paths: Paths, underlying: Underlying, config: Config) -> pl.DataFrame:
    """Walk every candidate as if it were alone; `candidates` must carry settlement_number.

    Returns:
        The candidates as legs: wheel (row number), cycle 0, and the outcome columns of `stages.arrays.walked`.
    """
    legs = candidates.with_columns(wheel=pl.int_range(pl.len(), dtype=pl.Int64), cycle=pl.lit(0, pl.Int64))
    return walked(legs, paths, underlying, put_rules(config), config.fills.execution_seed)
