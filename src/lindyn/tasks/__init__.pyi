from .completion import Completion as Completion
from .custom import CustomCost as CustomCost
from .regression import Regression as Regression
from .skills import Skills as Skills
from .spiked import SpikedMatrix as SpikedMatrix
from .task import Quadratic as Quadratic
from .task import Task as Task
