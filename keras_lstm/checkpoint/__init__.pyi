from .preemption import Interruption as Interruption
