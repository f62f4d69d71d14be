"""The commands: what each is called, what may be typed, and which module does it."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.brain import Folders, backtest_app, data_app, lookahead_check, parity, strategies_app
from cli.options import AsJson, Limit, Market, TenantName, World, check_stage, seconds, shares
from cli.research import monte_carlo, search, walk_forward
from cli.tuning import parameters_app, tenant_subscribe, tenant_unsubscribe
from common.domain.errors import InvalidInput, NotFound, TradewindsError

app = typer.Typer(
    name="tradewinds",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A multi-tenant fleet of trading workers. Start with [bold]tradewinds up[/bold].",
)
tenant_app = typer.Typer(no_args_is_help=True, help="Tenants: create, list, show, pause, resume, subscribe.")
venue_app = typer.Typer(no_args_is_help=True, help="Venues: probe, list.")
demo_app = typer.Typer(no_args_is_help=True, help="The demo tenants.")
export_app = typer.Typer(no_args_is_help=True, help="The ledger as files: trades.")
config_app = typer.Typer(no_args_is_help=True, help="The settings in force.")
RUN, ASK, ACT, RESEARCH = "Run the fleet", "Ask", "Act", "Research"
app.add_typer(data_app, name="data", rich_help_panel=RESEARCH)
backtest_app.command("search")(search)
backtest_app.command("walk-forward")(walk_forward)
backtest_app.command("monte-carlo")(monte_carlo)
app.add_typer(backtest_app, name="backtest", rich_help_panel=RESEARCH)
app.add_typer(strategies_app, name="strategies", rich_help_panel=RESEARCH)
strategies_app.add_typer(parameters_app, name="parameters")
app.command("lookahead-check", rich_help_panel=RESEARCH)(lookahead_check)
app.command("parity", rich_help_panel=RESEARCH)(parity)
app.add_typer(tenant_app, name="tenant", rich_help_panel=ACT)
tenant_app.command("subscribe")(tenant_subscribe)
tenant_app.command("unsubscribe")(tenant_unsubscribe)
app.add_typer(venue_app, name="venue", rich_help_panel=ACT)
app.add_typer(demo_app, name="demo", rich_help_panel=ACT)
app.add_typer(export_app, name="export", rich_help_panel=ASK)
app.add_typer(config_app, name="config", rich_help_panel=ASK)

Concurrency = Annotated[
    list[str] | None, typer.Option("--concurrency", metavar="STAGE=N", help="Slots of a stage's worker; repeatable.")
]
Speed = Annotated[float, typer.Option("--speed", min=0.001, max=100_000, help="Venue seconds per second of life.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of a generated market.")]
For = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Drain and end after this long: 90s, 5m.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin the world anew: its ledger is deleted.")]
FrameName = Annotated[str, typer.Option("--timeframe", help="Length of the candles the demo tenants trade on.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on; a free one without it.")]
WorldName = Annotated[
    str | None, typer.Option("--world", help="Name of the world; `generated` or the market folder's name without it.")
]


@app.command(rich_help_panel=RUN)
def up(
    market: Market = None,
    speed: Speed = 1.0,
    for_: For = None,
    as_json: AsJson = False,
    seed: Seed = 7,
    world: WorldName = None,
    timeframe: FrameName = "5m",
    fresh: Fresh = False,
    concurrency: Concurrency = None,
    flower: Annotated[
        bool | None, typer.Option("--flower/--no-flower", help="Start Flower; by default where somebody watches.")
    ] = None,
    port: Port = None,
    flower_port: Port = None,
    simulator_port: Port = None,
    strategies: Folders = None,
    drain: Annotated[str, typer.Option(metavar="DURATION", help="How long the end may take at most.")] = "45s",
) -> None:
    """Run a whole world here: servers, practice venue, every stage, API, and a live view. Ctrl-C drains and stops.

    Example: tradewinds up --market ../candles --speed 600 --for 90s --json
    """
    from cli.opening import Wishes, begun

    wishes = Wishes(
        market=_folder(market),
        speed=speed,
        for_s=seconds(for_) if for_ else None,
        drain_s=seconds(drain),
        as_json=as_json,
        seed=seed,
        world=world,
        timeframe=timeframe,
        fresh=fresh,
        concurrency=shares(concurrency or []),
        flower=flower,
        api_port=port,
        flower_port=flower_port,
        simulator_port=simulator_port,
        strategies=tuple(strategies or ()),
    )
    with begun(wishes, with_crew=True) as opening:
        from cli.up import run_up

        status = run_up(opening)
    raise typer.Exit(status)


@app.command(rich_help_panel=RUN)
def standalone(
    market: Market = None,
    speed: Speed = 1.0,
    for_: For = None,
    as_json: AsJson = False,
    seed: Seed = 7,
    world: WorldName = None,
    timeframe: FrameName = "5m",
    fresh: Fresh = False,
    strategies: Folders = None,
) -> None:
    """The same services in one process without Redis, for development.

    Example: tradewinds standalone --for 60s --json
    """
    from cli.opening import Wishes, begun

    wishes = Wishes(
        market=_folder(market),
        speed=speed,
        for_s=seconds(for_) if for_ else None,
        as_json=as_json,
        seed=seed,
        world=world or "standalone",
        timeframe=timeframe,
        fresh=fresh,
        strategies=tuple(strategies or ()),
    )
    with begun(wishes, with_crew=False) as opening:
        from cli.standalone import run_alone

        status = run_alone(opening)
    raise typer.Exit(status)


@app.command(rich_help_panel=RUN)
def worker(
    stage: Annotated[str, typer.Argument(help="signal, llm, risk, execution, position or maintenance.")],
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=64, help="Slots; the stage's own number without it.")
    ] = None,
) -> None:
    """Run the worker of one stage.

    Example: tradewinds worker execution --concurrency 8
    """
    from cli.context import become

    check_stage(stage)
    become("workers", "worker", stage, *(("--concurrency", str(concurrency)) if concurrency else ()))


@app.command(rich_help_panel=RUN)
def beat() -> None:
    """Run the clock that rings every tick; one per fleet.

    Example: tradewinds beat
    """
    from cli.context import become

    become("workers", "beat")


@app.command(rich_help_panel=RUN)
def stream() -> None:
    """Run the websocket reader that keeps candles; one per fleet.

    Example: tradewinds stream
    """
    from cli.context import become

    become("workers", "stream")


@app.command(rich_help_panel=RUN)
def account_stream() -> None:
    """Run the websocket reader that books fills of live accounts at once; replicas share the accounts out.

    Example: tradewinds account-stream
    """
    from cli.context import become

    become("workers", "account-stream")


@app.command(rich_help_panel=RUN)
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
) -> None:
    """Run the HTTP API.

    Example: tradewinds api --port 8000
    """
    from cli.context import become

    become("api", *(("--host", host) if host else ()), *(("--port", str(port)) if port else ()))


@app.command(rich_help_panel=RUN)
def flower(port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5555) -> None:
    """Run Flower, the view of the queues, on the loopback address.

    Example: tradewinds flower --port 5555
    """
    from cli.context import become

    become("workers", "flower", "--port", str(port))


@app.command(rich_help_panel=RUN, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def simulator(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8900,
    state: Annotated[
        Path | None, typer.Option(help="Folder that keeps it over restarts; HOME/simulator without it.")
    ] = None,
) -> None:
    """Run the practice world alone: venue, market and model. Other options go to the program: python -m simulator --help.

    Example: tradewinds simulator --market ../candles --speed 60
    """
    from cli.context import become
    from common.settings import read_settings

    folder = state or read_settings().home / "simulator"
    become("simulator", "--host", host, "--port", str(port), "--state", str(folder), *context.args)


@app.command(rich_help_panel=RUN)
def migrate(as_json: AsJson = False) -> None:
    """Bring the database to this version's schema; as the owner where TRADEWINDS_DATABASE_OWNER_URL is set.

    Example: tradewinds migrate
    """
    from cli.acts import run_migration

    run_migration(as_json)


@app.command(rich_help_panel=ASK)
def doctor(
    init: Annotated[bool, typer.Option("--init", help="Write real secrets, once; existing ones are kept.")] = False,
    secrets: Annotated[Path, typer.Option(help="Folder that --init writes to.")] = Path("secrets"),
    as_json: AsJson = False,
) -> None:
    """Check what the fleet needs on this machine, and say what to do about what is missing.

    Example: tradewinds doctor --init
    """
    from cli.doctor import examine

    raise typer.Exit(examine(secrets if init else None, as_json))


@app.command(rich_help_panel=ASK)
def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    faults: Annotated[str, typer.Option(metavar="all|KIND,…", help="Kinds of faults that may strike.")] = "all",
    bug: Annotated[str | None, typer.Option(help="Plant a seeded bug, which the simulation has to find.")] = None,
    list_bugs: Annotated[bool, typer.Option("--list-bugs", help="Name the seeded bugs.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Drive the real services through seeded disasters in virtual time, and check every promise.

    Example: tradewinds simulate --seeds 200 --json
    """
    from cli.simulate import run_simulation

    run_simulation(seeds, seed, faults, bug, jobs, list_bugs=list_bugs, as_json=as_json)


@app.command(rich_help_panel=ASK)
def modelcheck(
    policy: Annotated[
        str | None, typer.Option(help="`chosen` alone, or one naive policy such as resend-same-id; all without it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Walk every interleaving of the order, stop and halt machines, and reject each naive policy with a trace.

    Example: tradewinds modelcheck --policy no-visibility-horizon
    """
    from cli.modelcheck import run_modelcheck

    run_modelcheck(policy, as_json)


@app.command(rich_help_panel=ASK)
def chaos(
    faults: Annotated[int, typer.Option(min=1, help="How many faults have to strike.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the schedule, of the market and of the signals.")] = 1,
    kinds: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Only these kinds of faults; a wrong name lists all.")
    ] = None,
    world: Annotated[
        str | None, typer.Option("--world", help="Keep the world under this name; a temporary one without it.")
    ] = None,
    speed: Annotated[float, typer.Option(min=1, max=600, help="Venue seconds per second of life.")] = 20.0,
    tenants: Annotated[int, typer.Option(min=1, max=20, help="Tenants that trade at the venue.")] = 2,
    replicas: Annotated[int, typer.Option(min=1, max=4, help="Workers of each stage.")] = 2,
    round_size: Annotated[int, typer.Option(min=1, help="Faults between two checks of the invariants.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Break a fleet of its own, process by process and wire by wire, and check that nothing is lost or done twice.

    Example: tradewinds chaos --faults 200 --seed 1 --json
    """
    from cli.chaos import run_chaos

    run_chaos(
        faults,
        seed,
        kinds,
        world,
        as_json,
        speed=speed,
        tenants=tenants,
        replicas=replicas,
        round_size=round_size,
    )


@app.command(rich_help_panel=ASK)
def status(as_json: AsJson = False, world: World = None) -> None:
    """What flowed through the stages, what waits, and what each tenant earned.

    Example: tradewinds status --json
    """
    from cli.queries import show_status

    show_status(as_json, world)


@app.command(rich_help_panel=ASK)
def decisions(tenant: TenantName = None, limit: Limit = 50, as_json: AsJson = False, world: World = None) -> None:
    """The newest decisions with the first rule that said no, its measure and its limit.

    Example: tradewinds decisions --tenant meridian
    """
    from cli.queries import show_rows

    show_rows("decisions", tenant, limit, as_json, world)


@app.command(rich_help_panel=ASK)
def why(
    subject: Annotated[str, typer.Argument(help="Id of a signal, decision, order (also client order id) or position.")],
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """The whole trail of one decision: signal, advice, verdict, orders, fills, position.

    Example: tradewinds why twe3kq5zj2m7x…
    """
    from cli.queries import show_trail

    show_trail(subject, as_json, world)


@app.command(rich_help_panel=ASK)
def positions(
    tenant: TenantName = None,
    limit: Limit = 50,
    open_only: Annotated[bool, typer.Option("--open", help="Only those still held.")] = False,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """The newest positions with their profit after fees and funding.

    Example: tradewinds positions --open
    """
    from cli.queries import show_rows

    show_rows("positions", tenant, limit, as_json, world, open_only=open_only)


@app.command(rich_help_panel=ASK)
def orders(tenant: TenantName = None, limit: Limit = 50, as_json: AsJson = False, world: World = None) -> None:
    """The newest orders with their state and fills.

    Example: tradewinds orders --tenant harbour --json
    """
    from cli.queries import show_rows

    show_rows("orders", tenant, limit, as_json, world)


@app.command(rich_help_panel=ASK)
def trades(tenant: TenantName = None, limit: Limit = 50, as_json: AsJson = False, world: World = None) -> None:
    """The newest fills.

    Example: tradewinds trades -n 20
    """
    from cli.queries import show_rows

    show_rows("trades", tenant, limit, as_json, world)


@app.command(rich_help_panel=ASK)
def performance(
    tenant: TenantName = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Only the last so many days.")] = None,
    risk_free: Annotated[
        str | None, typer.Option("--risk-free", help="Yearly risk-free rate of Sharpe and Sortino; 0.045 without it.")
    ] = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """What each tenant earned: rates, ratios, drawdowns, by instrument, strategy and exit; deposits are no profit.

    Example: tradewinds performance --tenant meridian --days 30
    """
    from cli.accounting import show_performance

    show_performance(tenant, days, risk_free, as_json, world)


@app.command(rich_help_panel=ASK)
def blunders(tenant: TenantName = None, limit: Limit = 50, as_json: AsJson = False, world: World = None) -> None:
    """What was wrong with closed trades: labels, severity and grade of each, counted.

    Example: tradewinds blunders --tenant meridian
    """
    from cli.accounting import show_blunders

    show_blunders(tenant, limit, as_json, world)


@app.command(rich_help_panel=ASK)
def feedback(tenant: TenantName = None, as_json: AsJson = False, world: World = None) -> None:
    """What the last twenty closed trades say, over all and of each instrument, with their counts.

    Example: tradewinds feedback --tenant harbour
    """
    from cli.accounting import show_feedback

    show_feedback(tenant, as_json, world)


@app.command(rich_help_panel=ASK)
def statement(tenant: TenantName = None, as_json: AsJson = False, world: World = None) -> None:
    """Every account's book in double entry, held against the wallet at its venue.

    Example: tradewinds statement --tenant harbour
    """
    from cli.accounting import show_statements

    show_statements(tenant, as_json, world)


@export_app.command("trades")
def export_trades(
    tenant: TenantName = None,
    kind: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    into: Annotated[Path, typer.Option(help="Folder that the file is written into.")] = Path(),
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Every trade of a tenant with its costs and causes, for taxes and for your own reckoning.

    Example: tradewinds export trades --tenant harbour --format parquet
    """
    from cli.accounting import export_trades as export

    export(tenant, kind, into, as_json, world)


Scope = Annotated[str, typer.Option(help="platform, venue, tenant, strategy or instrument.")]
Subject = Annotated[str, typer.Option("--of", help="Which one; nothing for the platform.")]
By = Annotated[str, typer.Option(help="Who asks; kept in the audit log.")]
ViaApi = Annotated[
    str | None,
    typer.Option("--via-api", metavar="URL", help="Ask that API, signed with TRADEWINDS_HALT_KEY; no database needed."),
]


@app.command(rich_help_panel=ACT)
def halt(
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    scope: Scope = "platform",
    of: Subject = "",
    mode: Annotated[str, typer.Option(help="halt_new, cancel_entries or flatten.")] = "halt_new",
    by: By = "operator",
    via_api: ViaApi = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Stop new risk at once: once this returns, no entry with an older epoch leaves.

    Example: tradewinds halt --scope tenant --of skiff --reason "losing streak"
    """
    from cli.acts import halt_fleet
    from cli.remote import halt_from_afar

    if via_api:
        halt_from_afar(via_api, scope, of, mode, reason, by, as_json)
    else:
        halt_fleet(scope, of, mode, reason, by, as_json, world)


@app.command(rich_help_panel=ACT)
def alert(tenant: TenantName = None, as_json: AsJson = False, world: World = None) -> None:
    """Send a test alert through the channels of a tenant, or of the operator, and say whether it got through.

    Channels are in TRADEWINDS_ALERT_CHANNELS, or in a secret file of that name.

    Example: tradewinds alert --tenant harbour
    """
    from cli.acts import send_test_alert

    send_test_alert(tenant, as_json, world)


@app.command(rich_help_panel=ACT)
def resume(
    scope: Scope = "platform",
    of: Subject = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")] = "",
    confirm: Annotated[
        str | None, typer.Option(help="The words that are asked for otherwise, such as: resume platform")
    ] = None,
    by: By = "operator",
    via_api: ViaApi = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Lift a halt. That of the platform, and any FLATTEN, wants words typed that name it.

    Example: tradewinds resume --scope tenant --of skiff
    """
    from cli.acts import resume_fleet
    from cli.remote import resume_from_afar

    if via_api:
        resume_from_afar(via_api, scope, of, reason, by, confirm, as_json)
    else:
        resume_fleet(scope, of, reason, by, confirm, as_json, world)


@app.command(rich_help_panel=ACT)
def reset(
    world: Annotated[str, typer.Argument(help="Name of the world.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a world: its ledger, its venue, its logs. Asks first.

    Example: tradewinds reset generated
    """
    from cli.acts import reset_world

    reset_world(world, yes, as_json)


@tenant_app.command("create")
def tenant_create(
    name: Annotated[str, typer.Argument(help="1 to 64 letters, digits, - and _.")],
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Create a tenant, or find the one there is.

    Example: tradewinds tenant create aurora
    """
    from cli.acts import change_tenant

    change_tenant("create_tenant", name, as_json, world)


@tenant_app.command("list")
def tenant_list(as_json: AsJson = False, world: World = None) -> None:
    """All tenants.

    Example: tradewinds tenant list
    """
    from cli.queries import show_tenants

    show_tenants(as_json, world)


@tenant_app.command("show")
def tenant_show(
    name: Annotated[str, typer.Argument(help="Name or id.")], as_json: AsJson = False, world: World = None
) -> None:
    """A tenant with accounts, limits in force and subscriptions; never its keys.

    Example: tradewinds tenant show meridian
    """
    from cli.queries import show_one_tenant

    show_one_tenant(name, as_json, world)


@tenant_app.command("pause")
def tenant_pause(
    name: Annotated[str, typer.Argument(help="Name or id.")], as_json: AsJson = False, world: World = None
) -> None:
    """No new entries for a tenant; its positions are managed as before.

    Example: tradewinds tenant pause skiff
    """
    from cli.acts import change_tenant

    change_tenant("pause_tenant", name, as_json, world)


@tenant_app.command("resume")
def tenant_resume(
    name: Annotated[str, typer.Argument(help="Name or id.")], as_json: AsJson = False, world: World = None
) -> None:
    """New entries again.

    Example: tradewinds tenant resume skiff
    """
    from cli.acts import change_tenant

    change_tenant("resume_tenant", name, as_json, world)


@tenant_app.command("token")
def tenant_token(
    tenant: Annotated[str, typer.Argument(help="Name or id of the tenant.")],
    name: Annotated[str, typer.Option(help="What the token is called; each name is used once.")] = "cli",
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Make a token for the API that sees this tenant only. It is shown once and kept as a hash.

    Example: tradewinds tenant token meridian --name dashboard
    """
    from cli.acts import make_token

    make_token(tenant, name, as_json, world)


@venue_app.command("probe")
def venue_probe(
    name: Annotated[str, typer.Argument(help="simulator, or a venue of TRADEWINDS_VENUES.")],
    personality: Annotated[
        str | None,
        typer.Option(
            "--personality",
            "-p",
            help="How the simulator is to behave: binance-futures, binance-spot, bybit, hyperliquid or coinbase.",
        ),
    ] = None,
    tenant: TenantName = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before real orders are placed.")] = False,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Run the numbered cases against a venue and keep its capability record; live trading wants a passing one.

    Example: tradewinds venue probe simulator --personality bybit
    """
    from cli.venues import probe

    raise typer.Exit(probe(name, personality, tenant, yes, as_json, world))


@venue_app.command("list")
def venue_list(as_json: AsJson = False, world: World = None) -> None:
    """What probes have found out, and which venues live trading is allowed at.

    Example: tradewinds venue list
    """
    from cli.venues import show_venues

    show_venues(as_json, world)


@demo_app.command("seed")
def demo_seed(as_json: AsJson = False, world: World = None) -> None:
    """Create the three demo tenants on the practice venue; repeating it is harmless.

    Example: tradewinds demo seed
    """
    from cli.acts import seed

    seed(as_json, world)


@config_app.command("show")
def config_show(as_json: AsJson = False) -> None:
    """Every setting with its value, secrets masked, and where the value came from.

    Example: tradewinds config show
    """
    from cli.queries import show_config

    show_config(as_json)


def _folder(market: Path | None) -> Path | None:
    if market is not None and not market.is_dir():
        raise InvalidInput("market", str(market), "a folder of candle files such as BTC_USDT-5m.parquet")
    return market


def part_of(whole: typer.Typer, words: Sequence[str]) -> typer.Typer:
    """`whole` with nothing but the group, and in that the command, that `words` begin with; all of it where they name none.

    To build every option of sixty commands takes longer than many of them run.
    """
    named = [group for group in whole.registered_groups if words and group.name == words[0]]
    if not named or named[0].typer_instance is None:
        return whole
    part, group = copy.copy(whole), copy.copy(named[0])
    group.typer_instance = _with_one_command(named[0].typer_instance, words[1:])
    part.registered_groups, part.registered_commands = [group], []
    return part


def _with_one_command(group: typer.Typer, words: Sequence[str]) -> typer.Typer:
    named = [command for command in group.registered_commands if words and command.name == words[0]]
    if not named:
        # Whatever was typed: a group within it, a question for help, a slip that the names near it are shown for.
        return group
    part = copy.copy(group)
    part.registered_groups, part.registered_commands = [], named
    return part


def main() -> None:
    """Run the command line; 2 for bad input, 1 for a failure, never a traceback for an error raised on purpose."""
    try:
        part_of(app, sys.argv[1:])()
    except TradewindsError as error:
        typer.echo(f"tradewinds: {error}", err=True)
        sys.exit(2 if _was_mistyped(error) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _was_mistyped(error: TradewindsError) -> bool:
    """Whether what was typed or set was wrong; the settings are not loaded for the sake of an error they never raised."""
    settings = sys.modules.get("common.settings")
    misconfigured = () if settings is None else (settings.Misconfigured,)
    return isinstance(error, (InvalidInput, NotFound, *misconfigured))
