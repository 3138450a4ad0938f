"""How a period will end, when each budget runs out, and what is out of the ordinary."""

from llmcost_plugins.forecast.anomalies import Anomaly, Unusual
from llmcost_plugins.forecast.bands import NOMINAL, Method, Projection, project
from llmcost_plugins.forecast.facts import Basis, BudgetForecast, Forecast
from llmcost_plugins.forecast.forecaster import AHEAD, FORECAST_GROUPS, TOP, Forecaster

__all__ = [
    "AHEAD",
    "FORECAST_GROUPS",
    "NOMINAL",
    "TOP",
    "Anomaly",
    "Basis",
    "BudgetForecast",
    "Forecast",
    "Forecaster",
    "Method",
    "Projection",
    "Unusual",
    "project",
]
