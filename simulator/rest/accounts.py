"""Signed routes on the account: balance, positions, leverage, fees, incomes, listen keys, permissions of the key."""

import secrets
from typing import Any

from simulator import desk
from simulator.account import Account, Margins, Position, SymbolMargin, liquidation_price
from simulator.errors import VenueError, refuse
from simulator.filters import MAKER, TAKER
from simulator.money import ZERO, money, text
from simulator.rest.market_data import limited, whole
from simulator.rest.route import Access, Call, Route, Routes, by_symbol, fixed
from simulator.state import Change

LISTEN_KEY_MS = 60 * 60_000
NOTHING = SymbolMargin(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)


def account_info(call: Call) -> Any:
    """GET account, v2 and v3."""
    account = call.venue.account(call.api_key)
    book = call.venue.margins_of(account, call.now_ms)
    positions = [_account_position(call, account, book, s) for s in sorted(book.by_symbol)]
    wallet = money(account.wallet)
    totals = {
        "totalInitialMargin": money(book.initial), "totalMaintMargin": money(book.maintenance),
        "totalWalletBalance": wallet, "totalUnrealizedProfit": money(book.unrealized),
        "totalMarginBalance": money(book.equity), "totalPositionInitialMargin": money(book.position_initial),
        "totalOpenOrderInitialMargin": money(book.order_initial), "totalCrossWalletBalance": wallet,
        "totalCrossUnPnl": money(book.unrealized), "availableBalance": money(book.available),
        "maxWithdrawAmount": money(min(book.available, account.wallet)),
    }  # fmt: skip
    rights = {"feeTier": 0, "canTrade": True, "canDeposit": False, "canWithdraw": False, "multiAssetsMargin": False}
    return rights | totals | {"updateTime": 0, "assets": [_asset(account, book)], "positions": positions}


def _asset(account: Account, book: Margins) -> dict[str, Any]:
    wallet = money(account.wallet)
    return {
        "asset": "USDT", "walletBalance": wallet, "unrealizedProfit": money(book.unrealized),
        "marginBalance": money(book.equity), "maintMargin": money(book.maintenance), "initialMargin": money(book.initial),
        "positionInitialMargin": money(book.position_initial), "openOrderInitialMargin": money(book.order_initial),
        "crossWalletBalance": wallet, "crossUnPnl": money(book.unrealized), "availableBalance": money(book.available),
        "maxWithdrawAmount": money(min(book.available, account.wallet)), "marginAvailable": True,
        "updateTime": account.updated_ms,
    }  # fmt: skip


def _account_position(call: Call, account: Account, book: Margins, symbol: str) -> dict[str, Any]:
    position, bound = account.position(symbol), book.by_symbol[symbol]
    leverage = account.leverage(symbol)
    return {
        "symbol": symbol, "positionSide": "BOTH", "positionAmt": text(position.qty), "unrealizedProfit": money(bound.unrealized),
        "isolatedMargin": "0", "notional": money(bound.notional), "isolatedWallet": "0", "initialMargin": money(bound.initial),
        "maintMargin": money(bound.maintenance), "updateTime": position.updated_ms, "leverage": str(leverage),
        "isolated": False, "entryPrice": money(position.entry), "positionInitialMargin": money(bound.position_initial),
        "openOrderInitialMargin": money(bound.order_initial), "bidNotional": money(bound.bid_notional),
        "askNotional": money(bound.ask_notional), "maxNotional": text(call.venue.rules[symbol].max_notional(leverage)),
    }  # fmt: skip


def balance(call: Call) -> Any:
    """GET balance, v2 and v3."""
    account = call.venue.account(call.api_key)
    book = call.venue.margins_of(account, call.now_ms)
    return [{
        "accountAlias": account.api_key[:4], "asset": "USDT", "balance": money(account.wallet),
        "crossWalletBalance": money(account.wallet), "crossUnPnl": money(book.unrealized),
        "availableBalance": money(book.available), "maxWithdrawAmount": money(min(book.available, account.wallet)),
        "marginAvailable": True, "updateTime": account.updated_ms,
    }]  # fmt: skip


def _risk(call: Call, account: Account, book: Margins, symbol: str) -> dict[str, Any]:
    position: Position = account.positions.get(symbol, Position(symbol))
    bound = book.by_symbol.get(symbol, NOTHING)
    rules = call.venue.rules[symbol]
    return {
        "symbol": symbol, "positionSide": "BOTH", "positionAmt": text(position.qty), "entryPrice": money(position.entry),
        "breakEvenPrice": money(position.entry), "markPrice": text(call.venue.last_price(symbol, call.now_ms)),
        "unRealizedProfit": money(bound.unrealized), "liquidationPrice": liquidation_price(position, book, rules),
        "isolatedMargin": "0", "notional": money(bound.notional), "marginAsset": "USDT", "isolatedWallet": "0",
        "initialMargin": money(bound.initial), "maintMargin": money(bound.maintenance),
        "positionInitialMargin": money(bound.position_initial), "openOrderInitialMargin": money(bound.order_initial),
        "adl": 1, "bidNotional": money(bound.bid_notional), "askNotional": money(bound.ask_notional),
        "updateTime": position.updated_ms,
    }  # fmt: skip


def positions_v3(call: Call) -> Any:
    """GET v3 positionRisk: symbols with a position or open orders."""
    account = call.venue.account(call.api_key)
    book = call.venue.margins_of(account, call.now_ms)
    wanted = call.params.get("symbol")
    if wanted:
        call.venue.rules_for(wanted)
    return [_risk(call, account, book, s) for s in sorted(book.by_symbol) if not wanted or s == wanted]


def positions_v2(call: Call) -> Any:
    """GET v2 positionRisk: every symbol, with the leverage set for it."""
    account = call.venue.account(call.api_key)
    book = call.venue.margins_of(account, call.now_ms)
    wanted = call.params.get("symbol")
    symbols = [call.venue.rules_for(wanted).symbol] if wanted else list(call.venue.rules)
    out = []
    for symbol in symbols:
        leverage = account.leverage(symbol)
        extra = {
            "leverage": str(leverage), "maxNotionalValue": text(call.venue.rules[symbol].max_notional(leverage)),
            "marginType": "cross", "isAutoAddMargin": "false", "isolated": False, "adlQuantile": 1,
        }  # fmt: skip
        out.append(_risk(call, account, book, symbol) | extra)
    return out


def symbol_config(call: Call) -> Any:
    """GET symbolConfig: leverage and margin mode by symbol."""
    account = call.venue.account(call.api_key)
    wanted = call.params.get("symbol")
    symbols = [call.venue.rules_for(wanted).symbol] if wanted else list(call.venue.rules)
    return [
        {"symbol": s, "marginType": "CROSSED", "isAutoAddMargin": False, "leverage": account.leverage(s),
         "maxNotionalValue": text(call.venue.rules[s].max_notional(account.leverage(s)))} for s in symbols
    ]  # fmt: skip


def leverage_brackets(call: Call) -> Any:
    """GET leverageBracket."""
    wanted = call.params.get("symbol")
    symbols = [call.venue.rules_for(wanted).symbol] if wanted else list(call.venue.rules)
    return [
        {"symbol": s, "notionalCoef": 1.0, "brackets": [
            {"bracket": b.number, "initialLeverage": b.leverage, "notionalCap": int(b.cap), "notionalFloor": int(b.floor),
             "maintMarginRatio": float(b.rate), "cum": float(b.cum)} for b in call.venue.rules[s].brackets
        ]} for s in symbols
    ]  # fmt: skip


def set_leverage(call: Call) -> Any:
    """POST leverage."""
    rules = call.venue.rules_for(desk.need(call.params, "symbol"))
    leverage = whole(call, "leverage", None)
    if leverage is None or not 1 <= leverage <= rules.brackets[0].leverage:
        raise refuse(-4028, leverage=call.params.get("leverage", ""))
    account = call.venue.account(call.api_key)
    held = abs(account.position(rules.symbol).qty) * call.venue.last_price(rules.symbol, call.now_ms)
    if held > rules.max_notional(leverage):
        raise refuse(-2027)
    account.leverages[rules.symbol] = leverage
    call.venue.commit(Change(accounts={account.api_key: account}), call.now_ms)
    return {"leverage": leverage, "maxNotionalValue": text(rules.max_notional(leverage)), "symbol": rules.symbol}


def set_margin_type(call: Call) -> Any:
    """POST marginType: only cross margin exists here."""
    call.venue.rules_for(desk.need(call.params, "symbol"))
    wanted = desk.choice(desk.need(call.params, "marginType"), ("CROSSED", "ISOLATED"), -1102)
    raise refuse(-4046 if wanted == "CROSSED" else -4168)


def set_position_mode(call: Call) -> Any:
    """POST positionSide/dual: only one-way mode exists here."""
    if desk.flag(call.params, "dualSidePosition"):
        raise VenueError(-4067, "Position side cannot be changed: this venue is one-way only.")
    raise refuse(-4059)


def commission(call: Call) -> Any:
    """GET commissionRate."""
    symbol = call.venue.rules_for(desk.need(call.params, "symbol")).symbol
    return {"symbol": symbol, "makerCommissionRate": text(MAKER), "takerCommissionRate": text(TAKER)}


def income(call: Call) -> Any:
    """GET income, oldest first: the latest, or from a start."""
    wanted, kind = call.params.get("symbol"), call.params.get("incomeType")
    start, end = whole(call, "startTime", None), whole(call, "endTime", None)
    limit = limited(call, 100, 1000)
    mine = [
        i for i in call.venue.income[call.api_key]
        if (not wanted or i.symbol == wanted) and (not kind or i.kind == kind)
        and (start is None or i.at_ms >= start) and (end is None or i.at_ms <= end)
    ]  # fmt: skip
    return [i.describe() for i in (mine[-limit:] if start is None else mine[:limit])]


def create_listen_key(call: Call) -> Any:
    """POST listenKey: the same key, prolonged, while it lives."""
    account = call.venue.account(call.api_key)
    if not account.listen_key:
        account.listen_key = secrets.token_hex(32)
    account.listen_key_until_ms = call.now_ms + LISTEN_KEY_MS
    call.venue.commit(Change(accounts={account.api_key: account}), call.now_ms)
    return {"listenKey": account.listen_key}


def prolong_listen_key(call: Call) -> Any:
    """PUT listenKey."""
    if not call.venue.account(call.api_key).listen_key:
        raise refuse(-1125)
    return create_listen_key(call)


def drop_listen_key(call: Call) -> Any:
    """DELETE listenKey."""
    account = call.venue.account(call.api_key)
    account.listen_key, account.listen_key_until_ms = "", 0
    call.venue.commit(Change(accounts={account.api_key: account}), call.now_ms)
    return {}


def api_restrictions(call: Call) -> Any:
    """GET apiRestrictions: the truth about every key of this venue, which is that nothing can be withdrawn."""
    return {
        "ipRestrict": True, "createTime": call.venue.account(call.api_key).created_ms, "enableReading": True,
        "enableWithdrawals": False, "enableInternalTransfer": False, "enableMargin": False, "enableFutures": True,
        "permitsUniversalTransfer": False, "enableVanillaOptions": False, "enableFixApiTrade": False,
        "enableFixReadOnly": False, "enableSpotAndMarginTrading": False, "enablePortfolioMarginTrading": False,
    }  # fmt: skip


def coins(call: Call) -> Any:
    """GET capital/config/getall: the one asset there is, with every transfer closed."""
    network = {
        "network": "SIM", "coin": "USDT", "name": "Simulator", "isDefault": True, "depositEnable": False,
        "withdrawEnable": False, "withdrawFee": "0", "withdrawMin": "0", "withdrawMax": "0", "minConfirm": 0,
        "withdrawIntegerMultiple": "0.00000001",
    }  # fmt: skip
    return [{
        "coin": "USDT", "name": "TetherUS", "depositAllEnable": False, "withdrawAllEnable": False, "free": "0",
        "locked": "0", "freeze": "0", "withdrawing": "0", "ipoing": "0", "ipoable": "0", "storage": "0",
        "isLegalMoney": False, "trading": True, "networkList": [network],
    }]  # fmt: skip


def _signed(handle: Any, weight: Any, changes: bool = False) -> Route:
    return Route(handle, Access.SIGNED, weight, False, changes)


ROUTES: Routes = {
    ("GET", "/fapi/v1/account"): _signed(account_info, fixed(5)),
    ("GET", "/fapi/v2/account"): _signed(account_info, fixed(5)),
    ("GET", "/fapi/v3/account"): _signed(account_info, fixed(5)),
    ("GET", "/fapi/v2/balance"): _signed(balance, fixed(5)),
    ("GET", "/fapi/v3/balance"): _signed(balance, fixed(5)),
    ("GET", "/fapi/v2/positionRisk"): _signed(positions_v2, fixed(5)),
    ("GET", "/fapi/v3/positionRisk"): _signed(positions_v3, fixed(5)),
    ("GET", "/fapi/v1/symbolConfig"): _signed(symbol_config, fixed(5)),
    ("GET", "/fapi/v1/leverageBracket"): _signed(leverage_brackets, fixed(1)),
    ("POST", "/fapi/v1/leverage"): _signed(set_leverage, fixed(1), changes=True),
    ("POST", "/fapi/v1/marginType"): _signed(set_margin_type, fixed(1), changes=True),
    ("GET", "/fapi/v1/positionSide/dual"): _signed(lambda call: {"dualSidePosition": False}, fixed(30)),
    ("POST", "/fapi/v1/positionSide/dual"): _signed(set_position_mode, fixed(1), changes=True),
    ("GET", "/fapi/v1/multiAssetsMargin"): _signed(lambda call: {"multiAssetsMargin": False}, fixed(30)),
    ("GET", "/fapi/v1/commissionRate"): _signed(commission, fixed(20)),
    ("GET", "/fapi/v1/income"): _signed(income, fixed(30)),
    ("POST", "/fapi/v1/listenKey"): Route(create_listen_key, Access.KEY, fixed(1), changes=True),
    ("PUT", "/fapi/v1/listenKey"): Route(prolong_listen_key, Access.KEY, fixed(1), changes=True),
    ("DELETE", "/fapi/v1/listenKey"): Route(drop_listen_key, Access.KEY, fixed(1), changes=True),
    ("GET", "/fapi/v1/rateLimit/order"): _signed(lambda call: call.limits.describe()[1:], by_symbol(1, 1)),
    ("GET", "/sapi/v1/account/apiRestrictions"): _signed(api_restrictions, fixed(1)),
    ("GET", "/sapi/v1/capital/config/getall"): _signed(coins, fixed(10)),
    # No margin trading here; ccxt asks for it with every load of markets.
    ("GET", "/sapi/v1/margin/allPairs"): Route(lambda call: [], Access.KEY, fixed(1)),
    ("GET", "/sapi/v1/margin/isolated/allPairs"): _signed(lambda call: [], fixed(1)),
}
