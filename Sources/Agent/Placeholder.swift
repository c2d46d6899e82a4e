import Yams
import NIOHTTP1
import ServiceLifecycle
import Store
import AgentAPI
