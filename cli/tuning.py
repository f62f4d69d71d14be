"""The commands about what tenants trade and with which parameters: what each is called and what may be typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.brain import Folders, Params, symbols_of
from cli.options import AsJson, TenantName, World

parameters_app = typer.Typer(
    no_args_is_help=True, help="Parameter sets of tenants: propose, approve, reject, roll back, list."
)

StrategyArgument = Annotated[str, typer.Argument(help="Name of the strategy: tradewinds strategies list.")]
Number = Annotated[int, typer.Argument(min=1, help="Number of the set: tradewinds strategies parameters list.")]
OfTenant = Annotated[str, typer.Option("--tenant", "-t", help="Whose subscriptions, by name or id.")]
By = Annotated[str, typer.Option("--by", help="Who asks; kept in the audit trail. advisor:NAME is a model.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]
StrategyOption = Annotated[str, typer.Option("--strategy", help="Name of the strategy: tradewinds strategies list.")]
Frame = Annotated[str, typer.Option("--timeframe", help="Length of the candles.")]
AccountName = Annotated[str | None, typer.Option("--account", help="Name or id; not needed where there is one only.")]
TenantArgument = Annotated[str, typer.Argument(help="Name or id of the tenant.")]


@parameters_app.command("propose")
def parameters_propose(
    strategy: StrategyArgument,
    tenant: OfTenant,
    reason: Reason,
    param: Params = None,
    by: By = "operator",
    strategies: Folders = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Propose values for a tenant, checked against the strategy's bounds at once; nothing trades by them yet.

    Example: tradewinds strategies parameters propose ema_crossover --tenant harbour --param fast=8 --reason "faster"
    """
    from cli.parameters import propose

    propose(tenant, strategy, param or [], by, reason, strategies or [], as_json, world)


@parameters_app.command("approve")
def parameters_approve(
    strategy: StrategyArgument,
    number: Number,
    tenant: OfTenant,
    reason: Reason,
    by: By = "operator",
    strategies: Folders = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Put a proposal in force for all of the tenant's subscriptions to the strategy, from the next candles on.

    Example: tradewinds strategies parameters approve ema_crossover 1 --tenant harbour --reason "the backtest agrees"
    """
    from cli.parameters import approve

    approve(tenant, strategy, number, by, reason, strategies or [], as_json, world)


@parameters_app.command("reject")
def parameters_reject(
    strategy: StrategyArgument,
    number: Number,
    tenant: OfTenant,
    reason: Reason,
    by: By = "operator",
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Refuse a proposal for good.

    Example: tradewinds strategies parameters reject ema_crossover 1 --tenant harbour --reason "fits noise"
    """
    from cli.parameters import reject

    reject(tenant, strategy, number, by, reason, as_json, world)


@parameters_app.command("rollback")
def parameters_rollback(
    strategy: StrategyArgument,
    tenant: OfTenant,
    reason: Reason,
    to: Annotated[
        int | None,
        typer.Option("--to", min=0, help="Set approved earlier; 0 = the defaults. The one before without it."),
    ] = None,
    by: By = "operator",
    strategies: Folders = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Go back to a set that was approved before, or to the defaults.

    Example: tradewinds strategies parameters rollback ema_crossover --tenant harbour --reason "it lost"
    """
    from cli.parameters import roll_back

    roll_back(tenant, strategy, to, by, reason, strategies or [], as_json, world)


@parameters_app.command("list")
def parameters_list(
    tenant: TenantName = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Only of this strategy.")] = None,
    strategies: Folders = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Every set with its state, who proposed it, who decided, and why.

    Example: tradewinds strategies parameters list --tenant harbour
    """
    from cli.parameters import show

    show(tenant, strategy, strategies or [], as_json, world)


def tenant_subscribe(
    tenant: TenantArgument,
    strategy: StrategyOption,
    instruments: Annotated[
        str,
        typer.Option(
            "--instruments",
            help="Such as BTC/USDT:USDT,ETH/USDT:USDT; all = every one that trades; candidates:20 = the best of the "
            "hourly ranking, whichever they are.",
        ),
    ],
    timeframe: Frame = "5m",
    account: AccountName = None,
    advisor: Annotated[
        str | None, typer.Option("--advisor", help="Profile of the model that has to confirm; no model without it.")
    ] = None,
    on_advisor_unavailable: Annotated[
        str, typer.Option("--on-advisor-unavailable", help="wait, or technical: enter without an answer.")
    ] = "wait",
    strategies: Folders = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Let an account trade a strategy on instruments of its venue; repeating it replaces instruments and advisor.

    Example: tradewinds tenant subscribe harbour --strategy confluence --instruments all --timeframe 5m
    """
    from cli.subscriptions import subscribe_account

    folders: list[Path] = strategies or []
    symbols = symbols_of(instruments)
    subscribe_account(
        tenant, account, strategy, timeframe, symbols, advisor, on_advisor_unavailable, folders, as_json, world
    )


def tenant_unsubscribe(
    tenant: TenantArgument,
    strategy: StrategyOption,
    timeframe: Frame = "5m",
    account: AccountName = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """End a subscription: no new entries by it; what the account holds is managed and left as before.

    Example: tradewinds tenant unsubscribe harbour --strategy confluence --timeframe 5m
    """
    from cli.subscriptions import unsubscribe_account

    unsubscribe_account(tenant, account, strategy, timeframe, as_json, world)
