from .certificate import Proof as Proof
from .certificate import ProofError as ProofError
from .certificate import check_proof as check_proof
from .regularization import ProofRegularization as ProofRegularization
from .search import ProofSearch as ProofSearch
from .search import find_proof as find_proof
