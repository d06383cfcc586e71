"""What a run would cost, before it starts.

costs          plan: the orders of evaluation and retraining, counted and timed on this machine
topology       forecast: memory and arithmetic on TPUs that are not here, by compiling for them
"""

from certunl.planning.costs import Order, Plan, plan
from certunl.planning.topology import Forecast, Program, forecast

__all__ = ["Forecast", "Order", "Plan", "Program", "forecast", "plan"]
