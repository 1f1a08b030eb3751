from .preemption import PreemptionHandler as PreemptionHandler
