"""Half rounds: all users are solved for given the items, then all items given the users."""

import numpy as np
import torch
from torch import Tensor

from mfcli.data.ratings import Sides
from mfcli.solvers.base import Tick
from mfcli.solvers.blocks import Block, Blocks
from mfcli.solvers.compiled import kernels
from mfcli.solvers.compute import Map
from mfcli.solvers.gathering import Others
from mfcli.solvers.normals import AnyNormals
from mfcli.solvers.priors import AnyPrior, DiagonalPrior, Prior
from mfcli.solvers.rows import solve_block
from mfcli.solvers.solving import Half, Left, Solutions

DENSE = 129  # dimensions up to which kernels solve for short rows: with more torch, for all rows at once, is faster
INITIAL = 0.1  # standard deviation of the first factors; rounds soon forget it


class Tally:
    """The squared residuals that the blocks of a round leave: first the users' blocks', then the items'.

    They stay on the device, where nothing has to wait for them, until somebody reads them.
    """

    def __init__(self, blocks: Sides[Blocks], tick: Tick) -> None:
        self.compute, plans = blocks.users.compute, (blocks.users.plan, blocks.items.plan)
        self.sizes = np.concatenate([plan.sizes for plan in plans])
        self.half = len(plans[0].sizes)
        self.tick, self.done, self.completed = tick, 0, 0
        # Numbers of this process's blocks, in the order in which they are done.
        users, items = (plan.numbers[self.compute.rank] for plan in plans)
        self.order = np.concatenate([users, items + self.half])
        self.squared_errors = torch.zeros(len(self.sizes), device=self.compute.device)

    def add(self, squared_error: Tensor) -> None:
        """The next block is done, and this scalar is its sum of squared residuals. Raises what the tick raises."""
        self.squared_errors[int(self.order[self.done])] = squared_error
        self.done += 1
        self.tick(self.done, len(self.order), self._progress)

    def mend(self, back: int, squared_error: Tensor) -> None:
        """One of the last blocks, -1 the last of them, has been done again, and this is its sum now."""
        self.squared_errors[int(self.order[self.done + back])] = squared_error

    def complete(self, blocks: Blocks) -> None:
        """The blocks of the next half are done: fill in what those of other processes left."""
        end = self.completed + len(blocks.sizes)
        self.compute.complete(self.squared_errors[self.completed : end], blocks.numbers)
        self.completed = end

    def _progress(self) -> tuple[float, float]:
        """RMSE of the last block, and of this half so far."""
        done = self.order[: self.done]
        half = done[done >= self.half] if done[-1] >= self.half else done
        sums, sizes = self.squared_errors.double().cpu().numpy()[half].clip(0), self.sizes[half]
        return float(np.sqrt(sums[-1] / max(sizes[-1], 1))), float(np.sqrt(sums.sum() / max(sizes.sum(), 1)))

    def sums(self) -> Sides[float]:
        """Sum of squared residuals after the users' and after the items' half."""
        sums = self.squared_errors.double().cpu().numpy()
        return Sides(float(sums[: self.half].sum()), float(sums[self.half :].sum()))


def initial_rows(n: int, factors: int, biased: bool, seed: int, device: torch.device) -> Tensor:
    """(n, d) rows for the first round to begin with: small random factors, and biases of 0."""
    drawn = INITIAL * torch.randn(n, factors, generator=torch.Generator().manual_seed(seed))
    return torch.cat([drawn, drawn.new_zeros(n, int(biased))], 1).to(device)


class Round:
    """One round over the ratings in two halves.

    Args:
        blocks: the ratings, cut by user and by item.
        biased: whether a row's last number is a bias.
        workers: a ``map`` over blocks, as :meth:`Compute.one_core_each` gives it.
        tick: called after every block; may raise, to stop.
    """

    def __init__(self, blocks: Sides[Blocks], biased: bool, workers: Map, tick: Tick) -> None:
        self.blocks, self.biased, self.workers = blocks, biased, workers
        self.tally = Tally(blocks, tick)

    def least_squares(self, items: Tensor, prior: Prior) -> Sides[Solutions]:
        """A round of alternating least squares, from (n_items, d) rows."""
        users = self.half(self.blocks.users, items, prior)
        return Sides(users, self.half(self.blocks.items, users.rows, prior))

    def half(
        self,
        blocks: Blocks,
        given: Tensor,
        prior: AnyPrior,
        *,
        weights: Tensor | None = None,
        normals: AnyNormals | None = None,
        means: bool = True,
        plain: bool = True,
        begin: Tensor | None = None,
    ) -> Solutions:
        """All rows of a side given the other side's: half a round.

        Args:
            blocks: the side's ratings.
            given: (others, d) rows of the other side.
            prior: of the side's rows.
            weights: (others,) of the ratings of the other side's rows; None where all weigh 1.
            normals: to sample; None to solve.
            means: whether to keep what samples were drawn about; else the samples stand in their place.
            plain: whether the tally is to have squared residuals without weights; else it has about that.
            begin: (rows, d) rows from which long rows take a step only, as :class:`Half` has it.
        """
        rows = given.new_empty(len(blocks.counts), given.shape[1])
        drawn_about = rows if normals is None or not means else torch.empty_like(rows)
        found = Solutions(rows, drawn_about, rows.new_empty(len(rows)))
        natural = None if isinstance(prior, DiagonalPrior) else prior.natural
        coordinates = prior.coordinates() if kernels.serve(given.device) and given.shape[1] <= DENSE else None
        others = Others.given(given, self.biased, weights)
        half = Half(others, prior, natural, coordinates, normals, begin, plain, found)

        @torch.inference_mode()
        def solve(block: Block, lifted: bool = False) -> Left:
            return solve_block(block, half, lifted=lifted)

        with blocks.compute.together():
            failed = []
            for squared_error, of_block in self.workers(solve, blocks.blocks):
                self.tally.add(squared_error)
                failed.append(of_block)
            # A GPU is asked once whether rounding has spoiled anything, not after every block.
            for number in torch.stack(failed).nonzero()[:, 0].tolist() if failed else []:
                squared_error, _ = solve(blocks.blocks[number], lifted=True)
                self.tally.mend(number - len(blocks.blocks), squared_error)
        blocks.complete(rows, found.weighted_errors, *([drawn_about] if half.wants_means else []))
        self.tally.complete(blocks)
        return found
